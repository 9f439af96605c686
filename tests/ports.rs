//! What `-p` and `--tunnel` ask of the kernel, held against frames by libpcap itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what breaks here fails its test")]

#[path = "support/packets.rs"]
#[allow(dead_code, reason = "this builds frames, and no captures")]
mod packets;

use packets::{Layer, Packet};
use shadowtap::capture::live::expression;
use shadowtap::capture::{BpfFilter, BpfMatch, Frame, LinkType, Tunnel, TunnelKind};
use shadowtap::exchange::Timestamp;

/// A request to this port.
fn to(port: u16) -> Packet {
    between("10.0.0.7", "10.0.0.1", port)
}

/// A request to this port, in IPv6.
fn to6(port: u16) -> Packet {
    between("[2001:db8::7]", "[2001:db8::1]", port)
}

fn between(client: &str, server: &str, port: u16) -> Packet {
    Packet {
        at: 0,
        from: format!("{client}:51234").parse().unwrap(),
        to: format!("{server}:{port}").parse().unwrap(),
        seq: 1,
        ack: 1,
        flags: packets::ACK,
        payload: b"GET / HTTP/1.1\r\nHost: tv.example\r\n\r\n".to_vec(),
    }
}

/// A datagram of UDP that is no tunnel.
fn dns(packet: &Packet) -> Layer {
    packet.around(packet.ip().udp(53))
}

/// What is asked for.
#[derive(Clone, Copy, Default)]
struct Asked<'a> {
    typed: Option<&'a str>,
    ports: &'a [u16],
    tunnels: &'a [Tunnel],
}

const PORT_80: Asked<'static> = Asked { typed: None, ports: &[80], tunnels: &[] };

/// Checks which of `cases` pass on a link of this type.
#[track_caller]
fn check(asked: Asked<'_>, link: LinkType, cases: &[(&str, Layer, bool)]) {
    let expression = expression(asked.typed, asked.ports, asked.tunnels, link, None);
    let mut filter = BpfFilter::new(&expression).unwrap();
    for (name, layer, passes) in cases {
        let wire_len = u32::try_from(layer.bytes.len()).unwrap();
        let frame = Frame { at: Timestamp::from_nanos(0), link, wire_len, data: &layer.bytes };
        let expected = if *passes { BpfMatch::Match } else { BpfMatch::NoMatch };
        assert_eq!(filter.check(&frame), expected, "{name}: {expression}");
    }
}

/// The last piece of a datagram that is too long for its way.
fn last_piece(datagram: Layer) -> Layer {
    datagram.fragments(24, 7).pop().unwrap()
}

#[test]
fn a_port_is_found_in_both_versions_and_both_directions() {
    let answer = Packet { from: to(80).to, to: to(80).from, ..to(80) };
    check(
        PORT_80,
        LinkType::ETHERNET,
        &[
            ("IPv4", to(80).ip().ethernet(), true),
            ("IPv6", to6(80).ip().ethernet(), true),
            ("the answer", answer.ip().ethernet(), true),
            ("another port", to(81).ip().ethernet(), false),
            ("another port of IPv6", to6(8080).ip().ethernet(), false),
            ("no TCP", dns(&to(80)).ethernet(), false),
        ],
    );
}

#[test]
fn a_port_is_found_under_one_tag_and_two() {
    check(
        PORT_80,
        LinkType::ETHERNET,
        &[
            ("a tag", to(80).ip().vlan(0x8100, 7).ethernet(), true),
            ("a tag, IPv6", to6(80).ip().vlan(0x8100, 7).ethernet(), true),
            ("a provider's tag", to(80).ip().vlan(0x88a8, 7).ethernet(), true),
            ("two tags", to(80).ip().vlan(0x8100, 7).vlan(0x88a8, 9).ethernet(), true),
            ("two tags, IPv6", to6(80).ip().vlan(0x8100, 7).vlan(0x8100, 9).ethernet(), true),
            ("another port", to(81).ip().vlan(0x8100, 7).ethernet(), false),
            ("another port under two tags", to(81).ip().vlan(0x8100, 7).vlan(0x88a8, 9).ethernet(), false),
        ],
    );
}

#[test]
fn what_hides_its_port_passes() {
    let pieces = || to(80).ip().fragments(24, 7);
    check(
        PORT_80,
        LinkType::ETHERNET,
        &[
            ("the first piece", pieces().remove(0).ethernet(), true),
            ("a middle piece", pieces().remove(1).ethernet(), true),
            ("the last piece", last_piece(to(80).ip()).ethernet(), true),
            ("a tagged piece", last_piece(to(80).ip()).vlan(0x8100, 7).ethernet(), true),
            ("a piece under two tags", last_piece(to(80).ip()).vlan(0x8100, 7).vlan(0x88a8, 9).ethernet(), true),
            ("a piece of IPv6", last_piece(to6(80).ip()).ethernet(), true),
            ("hop-by-hop options", to6(80).around(to6(80).tcp().extension(0, 1)).ethernet(), true),
            ("destination options", to6(80).around(to6(80).tcp().extension(60, 2)).ethernet(), true),
            ("a piece of UDP", last_piece(dns(&to(80))).ethernet(), false),
        ],
    );
}

#[test]
fn tunnels_pass_where_they_are_asked_for_and_nowhere_else() {
    let inner = || to(80).ip().ethernet();
    let vxlan = || inner().vxlan().tunnel().ethernet();
    let cases = |vxlan_passes, geneve_passes, gre_passes| {
        [
            ("VXLAN", vxlan(), vxlan_passes),
            ("VXLAN in IPv6", inner().vxlan().tunnel6().ethernet(), vxlan_passes),
            ("VXLAN under a tag", inner().vxlan().tunnel().vlan(0x8100, 7).ethernet(), vxlan_passes),
            // A piece does not say what it is of: GRE may be in UDP as well.
            ("a piece of VXLAN", last_piece(inner().vxlan().tunnel()).ethernet(), vxlan_passes || gre_passes),
            ("Geneve", inner().geneve(2).tunnel().ethernet(), geneve_passes),
            ("GRE", to(80).ip().gre().tunnel().ethernet(), gre_passes),
            ("ERSPAN", inner().erspan(2).tunnel().ethernet(), gre_passes),
            ("ERSPAN in IPv6", inner().erspan(3).tunnel6().ethernet(), gre_passes),
            ("a piece of GRE", last_piece(to(80).ip().gre().tunnel()).ethernet(), gre_passes),
            ("no tunnel", to(80).ip().ethernet(), true),
            ("another port", to(81).ip().ethernet(), false),
        ]
    };
    let check = |tunnels, cases: &[_]| check(Asked { tunnels, ..PORT_80 }, LinkType::ETHERNET, cases);
    check(&[], &cases(false, false, false));
    let [vxlan, gre] = [TunnelKind::Vxlan, TunnelKind::Gre].map(|kind| [Tunnel::usual(kind)]);
    check(&vxlan, &cases(true, false, false));
    check(&gre, &cases(false, false, true));
    check(&Tunnel::ALL, &cases(true, true, true));
}

#[test]
fn a_tunnel_with_a_port_lets_that_port_through_and_no_other() {
    let inner = || to(80).ip().ethernet();
    let own = |port| inner().after(0, 0, &[8, 0, 0, 0, 0, 0, 42, 0]).udp(port).tunnel().ethernet();
    let tunnels = ["vxlan:4788", "geneve:7001"].map(|typed| typed.parse().unwrap());
    let asked = Asked { tunnels: &tunnels, ..PORT_80 };
    let cases = [
        ("VXLAN on this port", own(4788), true),
        ("VXLAN on its usual port", inner().vxlan().tunnel().ethernet(), false),
        ("Geneve on this port", own(7001), true),
        ("another port", own(4787), false),
        ("no tunnel", to(80).ip().ethernet(), true),
    ];
    check(asked, LinkType::ETHERNET, &cases);
    let tzsp = || inner().after(0, 0, &[1, 0, 0, 1, 1]).udp(37_008).tunnel().ethernet();
    check(PORT_80, LinkType::ETHERNET, &[("TZSP unasked", tzsp(), false)]);
    let asked = Asked { tunnels: &[Tunnel::usual(TunnelKind::Tzsp)], ..PORT_80 };
    check(asked, LinkType::ETHERNET, &[("TZSP", tzsp(), true)]);
}

/// What libpcap's own terms do not know, and what is inside of a tag that it knows.
#[test]
fn other_tags_are_let_through_for_what_may_be_behind_them() {
    for tag in [0x8200, 0x9100, 0x9200, 0x9300, 0x8988, 0x8909] {
        let cases = [
            ("a tag", to(80).ip().vlan(tag, 7).ethernet(), true),
            ("a tag under another", to(80).ip().vlan(tag, 7).vlan(0x8100, 9).ethernet(), true),
            ("no tag", to(81).ip().ethernet(), false),
        ];
        check(PORT_80, LinkType::ETHERNET, &cases);
    }
}

#[test]
fn several_ports_are_found_and_without_any_all_of_tcp() {
    check(
        Asked { ports: &[80, 8080], ..Asked::default() },
        LinkType::ETHERNET,
        &[
            ("the first", to(80).ip().ethernet(), true),
            ("the second", to(8080).ip().vlan(0x8100, 7).ethernet(), true),
            ("another", to(443).ip().ethernet(), false),
        ],
    );
    check(
        Asked::default(),
        LinkType::ETHERNET,
        &[
            ("any port", to(4711).ip().ethernet(), true),
            ("under a tag", to6(4711).ip().vlan(0x8100, 7).ethernet(), true),
            ("no TCP", dns(&to(80)).ethernet(), false),
        ],
    );
}

#[test]
fn a_typed_filter_and_a_port_both_have_to_match() {
    let asked = Asked { typed: Some("host 10.0.0.7 or host 10.0.0.9"), ..PORT_80 };
    check(
        asked,
        LinkType::ETHERNET,
        &[
            ("both", to(80).ip().ethernet(), true),
            ("the port alone", between("10.0.0.8", "10.0.0.1", 80).ip().ethernet(), false),
            ("the host alone", to(81).ip().ethernet(), false),
        ],
    );
}

#[test]
fn a_typed_vlan_moves_the_port_inside_it() {
    let asked = Asked { typed: Some("vlan 7"), ..PORT_80 };
    check(
        asked,
        LinkType::ETHERNET,
        &[
            ("this VLAN", to(80).ip().vlan(0x8100, 7).ethernet(), true),
            ("another VLAN", to(80).ip().vlan(0x8100, 8).ethernet(), false),
            ("no VLAN", to(80).ip().ethernet(), false),
            ("another port in it", to(81).ip().vlan(0x8100, 7).ethernet(), false),
            ("a VLAN in it", to(80).ip().vlan(0x8100, 9).vlan(0x8100, 7).ethernet(), true),
        ],
    );
}

#[test]
fn a_typed_filter_alone_is_all_that_is_asked() {
    let asked = Asked { typed: Some("udp port 53"), ..Asked::default() };
    let cases = [("UDP", dns(&to(80)).ethernet(), true), ("TCP", to(80).ip().ethernet(), false)];
    check(asked, LinkType::ETHERNET, &cases);
}

#[test]
fn links_without_vlan_terms_find_the_port_too() {
    for (link, wrap) in [(LinkType::LINUX_SLL, Layer::sll as fn(Layer) -> Layer), (LinkType::LINUX_SLL2, Layer::sll2)] {
        check(
            PORT_80,
            link,
            &[
                ("IPv4", wrap(to(80).ip()), true),
                ("IPv6", wrap(to6(80).ip()), true),
                ("a tag", wrap(to(80).ip().vlan(0x8100, 7)), true),
                ("a piece", wrap(last_piece(to(80).ip())), true),
                ("another port", wrap(to(81).ip()), false),
            ],
        );
    }
    let cases = [("IPv4", to(80).ip(), true), ("IPv6", to6(80).ip(), true), ("another port", to(81).ip(), false)];
    check(PORT_80, LinkType::RAW, &cases);
}

#[test]
fn a_hundred_ports_are_no_more_than_the_kernel_takes() {
    /// Instructions that Linux takes (`BPF_MAXINSNS`).
    const MOST: usize = 4096;
    let ports: Vec<u16> = (8000..8100).collect();
    let expression = expression(None, &ports, &Tunnel::ALL, LinkType::ETHERNET, None);
    let program = pcap::Capture::dead(pcap::Linktype(1)).unwrap().compile(&expression, true).unwrap();
    assert!(program.get_instructions().len() <= MOST, "{}", program.get_instructions().len());
}
