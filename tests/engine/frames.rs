//! From whatever a link or tunnel puts around it.

use shadowtap::capture::{Frame, LinkType};
use shadowtap::decode::{Decoder, Skip};
use shadowtap::exchange::Timestamp;

use crate::packets::{Capture, Client, Layer, Packet, Server, Talk};
use crate::{check, check_on, get, large, noise, ok, post};

const V6: (&str, &str) = ("[2001:db8::7]:51234", "[2001:db8::1]:80");
const GET: [&str; 1] = ["GET /a -> 200 \"hello\""];

fn talk() -> Talk {
    say(Talk::open())
}

fn say(talk: Talk) -> Talk {
    talk.client(get("/a")).server(ok("hello")).close()
}

fn talk6() -> Talk {
    say(Talk::joined().between(V6.0, V6.1).handshake())
}

/// Expects the exchange from frames of this kind, for both versions of IP.
#[track_caller]
fn both(link: LinkType, wrap: impl Fn(Layer) -> Layer) {
    check(&talk().capture_as(link, |packet| wrap(packet.ip())), &GET);
    check(&talk6().capture_as(link, |packet| wrap(packet.ip())), &GET);
}

#[track_caller]
fn over_ethernet(wrap: impl Fn(Layer) -> Layer) {
    both(LinkType::ETHERNET, |ip| wrap(ip).ethernet());
}

#[test]
fn ethernet() {
    over_ethernet(|ip| ip);
}

#[test]
fn ethernet_with_llc_and_snap() {
    over_ethernet(Layer::snap);
}

#[test]
fn vlan_tags_by_every_number_that_is_in_use() {
    for tag in [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300, 0x8200] {
        over_ethernet(|ip| ip.vlan(tag, 7));
    }
}

#[test]
fn qinq() {
    over_ethernet(|ip| ip.vlan(0x8100, 7).vlan(0x88a8, 100));
}

#[test]
fn tags_of_port_extenders_and_of_backbones() {
    over_ethernet(|ip| {
        let head = [&[0, 1, 0x20, 3], &ip.ether_type.to_be_bytes()[..]].concat();
        ip.after(0x8926, 0, &head).vlan(0x8100, 7)
    });
    over_ethernet(|ip| ip.vlan(0x8100, 7).ethernet().after(0x88e7, 0, &[0, 0, 1, 0]).vlan(0x88a8, 9));
    over_ethernet(|ip| ip.ethernet().after(0x8903, 0, &[0, 0x41]));
}

/// Six bytes of time, or options with a group, before what the tag took the place of; in mirrored frames too.
#[test]
fn tags_that_switches_put_before_mirrored_frames() {
    let timestamp = |ip: Layer| {
        let head = [&[0, 0x12, 0x34, 0x56, 0x78, 0x9a][..], &ip.ether_type.to_be_bytes()].concat();
        ip.after(0x8988, 0, &head)
    };
    over_ethernet(timestamp);
    over_ethernet(|ip| timestamp(ip.vlan(0x8100, 7)).vlan(0x8200, 9));
    over_ethernet(|ip| timestamp(ip).ethernet().erspan(2).tunnel());
    for options in [vec![0, 1, 0, 7], vec![0, 1, 0, 7, 0, 2, 1, 1]] {
        over_ethernet(|ip| {
            let count = u8::try_from(options.len() / 4).unwrap();
            let head = [&[1, count][..], &options, &ip.ether_type.to_be_bytes()].concat();
            ip.after(0x8909, 0, &head).vlan(0x8100, 7)
        });
    }
}

/// Secured by a checksum alone, frames can be read; its four flags say so. What is encrypted cannot.
#[test]
fn links_secured_between_switches() {
    let secured = |ip: Layer, flags: u8, channel: &[u8]| {
        let head = [&[flags, 0, 0, 0, 0, 9][..], channel, &ip.ether_type.to_be_bytes()].concat();
        ip.after(0x88e5, 0, &head)
    };
    over_ethernet(|ip| secured(ip, 0, &[]));
    over_ethernet(|ip| secured(ip, 0x20, &[2; 8]));
    let encrypted = |packet: &Packet| secured(packet.ip(), 0x2c, &[2; 8]).ethernet();
    let seen = check::<&str>(&talk().capture_as(LinkType::ETHERNET, encrypted), &[]);
    assert!(seen.skipped.iter().all(|why| *why == Skip::Encrypted), "{:?}", seen.skipped);
}

#[test]
fn ethernet_as_routers_capture_it() {
    both(LinkType::JUNIPER_ETHERNET, |ip| ip.ethernet().after(0, 0, b"MGC\x01"));
    both(LinkType::JUNIPER_ETHERNET, |ip| ip.ethernet().after(0, 0, b"MGC\x80\0\x06\x03\x01\x0e\x04\x02\x08"));
    both(LinkType::JUNIPER_ETHERNET, |ip| ip.after(0, 0, b"MGC\x83\0\x03\x03\x01\x0e"));
    let other = |packet: &Packet| packet.ip().ethernet();
    let seen = check::<&str>(&talk().capture_as(LinkType::JUNIPER_ETHERNET, other), &[]);
    assert!(seen.skipped.iter().all(|why| *why == Skip::BadHeader), "{:?}", seen.skipped);
}

#[test]
fn ethernet_with_its_preamble() {
    for (preamble, start) in [(7, 0xd5), (6, 0xd5), (0, 0xd5), (7, 0xe6), (7, 0xb3)] {
        both(LinkType::MPACKET, |ip| ip.ethernet().after(0, 0, &[&vec![0x55; preamble][..], &[start]].concat()));
    }
    let rest = |packet: &Packet| packet.ip().ethernet().after(0, 0, &[0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x61, 0xe6]);
    let seen = check::<&str>(&talk().capture_as(LinkType::MPACKET, rest), &[]);
    assert!(seen.skipped.iter().all(|why| *why == Skip::BadFragment), "{:?}", seen.skipped);
}

/// The header counts itself without its padding; it grew over the years.
#[test]
fn a_firewalls_log() {
    for (len, padded) in [(61, 64), (69, 72), (100, 100)] {
        let head = |family| [&[len, family][..], &vec![0x70; padded - 2]].concat();
        check(&talk().capture_as(LinkType::PFLOG, |packet| packet.ip().after(0, 0, &head(2))), &GET);
        for family in [24, 28, 30] {
            check(&talk6().capture_as(LinkType::PFLOG, |packet| packet.ip().after(0, 0, &head(family))), &GET);
        }
    }
}

#[test]
fn links_that_carry_llc_and_snap_without_ethernet() {
    both(LinkType::ATM, |ip| Layer { bytes: ip.clone().snap().bytes, ..ip });
    both(LinkType::FDDI, |ip| ip.snap().after(0, 0, &[0x50; 13]));
}

/// Fields of every length before the datagram, and one after it.
#[test]
fn the_netfilter_log() {
    both(LinkType::NFLOG, |ip| {
        let len = u16::try_from(ip.bytes.len() + 4).unwrap().to_le_bytes();
        let head = [&[2, 0, 0, 5], &[8, 0, 1, 0, 8, 0, 1, 0][..], &[5, 0, 10, 0, 0, 0, 0, 0], &len, &[9, 0]].concat();
        let mut all = ip.after(0, 0, &head);
        all.bytes.resize(all.bytes.len().next_multiple_of(4), 0);
        all.bytes.extend([8, 0, 3, 0, 0, 0, 0, 1]);
        all
    });
}

#[test]
fn headers_that_name_the_link_that_follows() {
    both(LinkType::PPI, |ip| ip.ethernet().after(0, 0, &[0, 0, 12, 0, 1, 0, 0, 0, 7, 7, 7, 7]));
    for link in [LinkType::PKTAP, LinkType(149)] {
        let head = [&[108, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], &[0x65; 96][..]].concat();
        both(link, |ip| ip.ethernet().after(0, 0, &head));
    }
    let nested = |_: &Packet| Layer { ether_type: 0, protocol: 0, bytes: [0, 0, 8, 0, 192, 0, 0, 0].repeat(30) };
    let seen = check::<&str>(&talk().capture_as(LinkType::PPI, nested), &[]);
    assert!(seen.skipped.iter().all(|why| *why == Skip::TooDeep), "{:?}", seen.skipped);
}

#[test]
fn raw_ip_by_every_number_that_is_in_use() {
    for link in [LinkType::RAW, LinkType(12), LinkType(14)] {
        both(link, |ip| ip);
    }
    check(&talk().capture_as(LinkType::IPV4, Packet::ip), &GET);
    check(&talk6().capture_as(LinkType::IPV6, Packet::ip), &GET);
}

#[test]
fn linux_cooked_captures_of_both_versions() {
    both(LinkType::LINUX_SLL, Layer::sll);
    both(LinkType::LINUX_SLL2, Layer::sll2);
    both(LinkType::LINUX_SLL2, |ip| ip.vlan(0x8100, 7).sll2());
}

#[test]
fn bsd_loopback_in_either_byte_order_with_each_systems_number_for_ipv6() {
    check(&talk().capture_as(LinkType::NULL, |packet| packet.ip().loopback([2, 0, 0, 0])), &GET);
    check(&talk().capture_as(LinkType::NULL, |packet| packet.ip().loopback([0, 0, 0, 2])), &GET);
    check(&talk().capture_as(LinkType::LOOP, |packet| packet.ip().loopback([0, 0, 0, 2])), &GET);
    for family in [10, 24, 28, 30] {
        check(&talk6().capture_as(LinkType::NULL, |packet| packet.ip().loopback([family, 0, 0, 0])), &GET);
        check(&talk6().capture_as(LinkType::LOOP, |packet| packet.ip().loopback([0, 0, 0, family])), &GET);
    }
}

#[test]
fn mpls_with_one_label_and_with_three() {
    over_ethernet(|ip| ip.mpls(&[16]));
    over_ethernet(|ip| ip.mpls(&[16, 17, 1_048_575]));
}

#[test]
fn mpls_pseudowires_with_and_without_control_word() {
    over_ethernet(|ip| ip.ethernet().mpls(&[16, 17]));
    over_ethernet(|ip| {
        let mut frame = ip.ethernet();
        frame.bytes.splice(..0, [0; 4]);
        frame.mpls(&[16])
    });
}

#[test]
fn pppoe_and_pppoe_in_a_vlan() {
    over_ethernet(Layer::pppoe);
    over_ethernet(|ip| ip.pppoe().vlan(0x8100, 7));
}

#[test]
fn vxlan() {
    over_ethernet(|ip| ip.ethernet().vxlan().tunnel());
    over_ethernet(|ip| ip.ethernet().vxlan().tunnel6());
}

#[test]
fn vxlan_around_a_vlan() {
    over_ethernet(|ip| ip.vlan(0x8100, 7).ethernet().vxlan().tunnel());
}

#[test]
fn geneve_with_and_without_options_around_ip_and_around_ethernet() {
    over_ethernet(|ip| ip.geneve(0).tunnel());
    over_ethernet(|ip| ip.ethernet().geneve(0).tunnel());
    over_ethernet(|ip| ip.ethernet().geneve(8).tunnel());
    over_ethernet(|ip| ip.geneve(63).tunnel6());
}

/// What `--tunnel vxlan:4788` and the like come to.
#[track_caller]
fn named(tunnel: &str, wrap: impl Fn(Layer) -> Layer) -> Decoder {
    let capture = talk().capture_as(LinkType::ETHERNET, |packet| wrap(packet.ip()).tunnel().ethernet());
    let decoded = |mut decoder: Decoder| {
        let found = capture.shots.iter().map(|shot| {
            let (at, wire_len) = (Timestamp::from_nanos(shot.at), u32::try_from(shot.wire_len).unwrap());
            let frame = Frame { at, link: shot.link, wire_len, data: &shot.data };
            decoder.decode(&frame).map(|segment| segment.destination.port.min(segment.source.port))
        });
        let found: Vec<_> = found.collect();
        (found, decoder)
    };
    let (found, _) = decoded(Decoder::new().with_tunnels(&[tunnel.parse().unwrap()]));
    assert!(found.iter().all(|port| *port == Ok(80)), "{tunnel}: {found:?}");
    let (found, after) = decoded(Decoder::new());
    assert!(found.iter().all(Result::is_err), "{found:?}");
    after
}

#[test]
fn tunnels_on_ports_of_their_own_are_named_and_without_a_name_told() {
    let vxlan = [8, 0, 0, 0, 0, 0, 42, 0];
    for port in [4788, 8473, 65_535] {
        let told = named(&format!("vxlan:{port}"), |ip| ip.ethernet().after(0, 0, &vxlan).udp(port));
        let frames = talk().capture().shots.len();
        let line = format!(
            "{frames} frames to UDP port {port} look like vxlan and were skipped: --tunnel vxlan:{port} looks into them"
        );
        assert_eq!(told.advice(), [line]);
    }
    let geneve = |ip: &Layer| [&[1, 0][..], &ip.ether_type.to_be_bytes(), &[0, 0, 42, 0, 1, 8, 1, 0]].concat();
    let told = named("geneve:6082", |ip| ip.clone().after(0, 0, &geneve(&ip)).udp(6082));
    assert!(told.advice()[0].contains("--tunnel geneve:6082"), "{:?}", told.advice());
    let told = named("tzsp:5555", |ip| ip.ethernet().after(0, 0, &[1, 0, 0, 1, 1]).udp(5555));
    assert_eq!(told.advice(), Vec::<String>::new(), "five bytes may be anything");
    named("gre:4755", |ip| ip.gre().udp(4755));
}

#[test]
fn tzsp_with_and_without_fields() {
    // Padding, a signal's strength, a name of three bytes.
    for fields in [&[][..], &[0, 0], &[10, 1, 0xc4], &[0, 41, 3, 7, 7, 7]] {
        for kind in [0, 1] {
            let head = [&[1, kind, 0, 1][..], fields, &[1]].concat();
            over_ethernet(|ip| ip.ethernet().after(0, 0, &head).udp(37_008).tunnel());
        }
    }
    let wireless = [&[1, 0, 0, 18, 1, 0x08, 1][..], &[0; 22], &[0xaa, 0xaa, 3, 0, 0, 0]].concat();
    over_ethernet(|ip| {
        let head = [&wireless[..], &ip.ether_type.to_be_bytes()].concat();
        ip.after(0, 0, &head).udp(37_008).tunnel()
    });
}

#[test]
fn a_tag_that_nobody_knows_is_told_where_ip_is_behind_it() {
    let tagged = talk().capture_as(LinkType::ETHERNET, |packet| packet.ip().after(0x8999, 0, &[7; 10]).ethernet());
    let seen = check::<&str>(&tagged, &[]);
    assert!(seen.skipped.iter().all(|why| *why == Skip::UnknownTag), "{:?}", seen.skipped);
    assert!(seen.advice[0].contains("EtherType 0x8999"), "{:?}", seen.advice);
}

#[test]
fn gre_with_and_without_its_optional_fields() {
    over_ethernet(|ip| ip.gre().tunnel());
    over_ethernet(|ip| ip.gre_with_all().tunnel6());
    over_ethernet(|ip| ip.ethernet().gre().tunnel());
}

#[test]
fn erspan_of_all_three_types() {
    for kind in 1..=3 {
        over_ethernet(|ip| ip.ethernet().erspan(kind).tunnel());
    }
}

#[test]
fn vxlan_that_names_what_it_carries() {
    over_ethernet(|ip| ip.ethernet().after(0, 0, &[0x0c, 0, 0, 3, 0, 0, 7, 0]).udp(4790).tunnel());
    over_ethernet(|ip| {
        let next = if ip.ether_type == 0x0800 { 1 } else { 2 };
        ip.after(0, 0, &[0x0c, 0, 0, next, 0, 0, 7, 0]).udp(4790).tunnel()
    });
}

#[test]
fn gtp_u_with_and_without_its_optional_fields_and_extension_headers() {
    over_ethernet(|ip| ip.after(0, 0, &[0x30, 0xff, 0, 0, 0, 0, 0, 7]).udp(2152).tunnel());
    over_ethernet(|ip| ip.after(0, 0, &[0x32, 0xff, 0, 0, 0, 0, 0, 7, 0, 1, 0, 0]).udp(2152).tunnel());
    // Two extension headers, of four and of eight bytes.
    let extended = [&[0x36, 0xff, 0, 0, 0, 0, 0, 7, 0, 1, 0, 0x85][..], &[1, 0, 9, 0xc0], &[2, 0, 1, 2, 3, 4, 5, 0]];
    over_ethernet(|ip| ip.after(0, 0, &extended.concat()).udp(2152).tunnel6());
}

#[test]
fn teredo_with_and_without_what_may_stand_before_its_datagram() {
    let (authentication, origin) = ([&[0, 1, 2, 3][..], &[7; 5 + 9]].concat(), [0, 0, 1, 2, 3, 4, 5, 6]);
    for head in [vec![], origin.to_vec(), authentication.clone(), [&authentication[..], &origin].concat()] {
        let wrap = |packet: &Packet| packet.ip().after(0, 0, &head).udp(3544).tunnel().ethernet();
        check(&talk6().capture_as(LinkType::ETHERNET, wrap), &GET);
    }
}

#[test]
fn teredo_on_any_port_where_an_end_has_an_address_of_it_and_the_length_is_right() {
    let between = |client: &str, server: &str| {
        let talk = Talk::joined().between(client, server).handshake();
        talk.client(get("/")).server(ok("x")).close()
    };
    let wrap = |port: u16, more: &[u8]| {
        let more = more.to_vec();
        move |packet: &Packet| {
            let mut ip = packet.ip();
            ip.bytes.extend(&more);
            ip.udp(port).tunnel().ethernet()
        }
    };
    let (teredo, native) = ("[2001:0:5ef5:79fb:0:59a:a9fe:1]:51234", "[2001:db8::1]:80");
    let found = ["GET / -> 200 \"x\""];
    for port in [1024, 40_000, 63_000] {
        for ends in [[teredo, native], ["[2001:db8::7]:51234", "[2001::9]:80"]] {
            check(&between(ends[0], ends[1]).capture_as(LinkType::ETHERNET, wrap(port, &[])), &found);
            // One byte more than the datagram has: something else.
            check(&between(ends[0], ends[1]).capture_as(LinkType::ETHERNET, wrap(port, &[0])), &[] as &[&str]);
        }
        // Addresses that only look alike.
        let ends = ["[2001:1::7]:51234", native];
        check(&between(ends[0], ends[1]).capture_as(LinkType::ETHERNET, wrap(port, &[])), &[] as &[&str]);
    }
}

#[test]
fn ppp_in_l2tp_and_in_gre() {
    let ppp = |ip: Layer| {
        let protocol = if ip.ether_type == 0x0800 { 0x21 } else { 0x57 };
        ip.after(0, 0, &[0xff, 3, 0, protocol])
    };
    over_ethernet(|ip| ppp(ip).after(0, 0, &[0, 2, 0, 1, 0, 2]).udp(1701).tunnel());
    // With length, sequence numbers, and two bytes of offset padding.
    let all = [0x4a, 2, 0, 99, 0, 1, 0, 2, 0, 3, 0, 4, 0, 2, 9, 9];
    over_ethernet(|ip| ppp(ip).after(0, 0, &all).udp(1701).tunnel());
    // As PPTP has it: key, sequence and acknowledgement numbers.
    over_ethernet(|ip| ppp(ip).after(0, 47, &[0x30, 0x81, 0x88, 0x0b, 0, 9, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2]).tunnel());
}

#[test]
fn serial_links() {
    for link in [LinkType::PPP, LinkType(50)] {
        let number = |ip: &Layer| if ip.ether_type == 0x0800 { 0x21 } else { 0x57 };
        both(link, |ip| ip.clone().after(0, 0, &[0, number(&ip)]));
        both(link, |ip| ip.clone().after(0, 0, &[0xff, 3, 0, number(&ip)]));
        both(link, |ip| ip.clone().after(0, 0, &[number(&ip)]));
    }
    both(LinkType::C_HDLC, |ip| ip.clone().after(0, 0, &[&[0x0f, 0][..], &ip.ether_type.to_be_bytes()].concat()));
}

#[test]
fn wireless_links_with_and_without_radio_information() {
    let data = |ip: Layer, head: &[u8]| {
        let llc = [head, &[0xaa, 0xaa, 3, 0, 0, 0], &ip.ether_type.to_be_bytes()].concat();
        ip.after(0, 0, &llc)
    };
    let plain = [&[0x08, 1][..], &[0; 22]].concat();
    let quality = [&[0x88, 2][..], &[0; 24]].concat();
    let four_addresses = [&[0x08, 3][..], &[0; 28]].concat();
    for head in [&plain, &quality, &four_addresses] {
        both(LinkType::IEEE_802_11, |ip| data(ip, head));
        both(LinkType::RADIOTAP, |ip| data(ip, &[&[0, 0, 12, 0, 0, 0, 0, 0, 7, 7, 7, 7][..], head].concat()));
    }
    let protected = |packet: &Packet| data(packet.ip(), &[&[0x08, 0x41][..], &[0; 22]].concat());
    let seen = check::<&str>(&talk().capture_as(LinkType::IEEE_802_11, protected), &[]);
    assert!(seen.skipped.iter().all(|why| *why == Skip::Encrypted), "{:?}", seen.skipped);
}

#[test]
fn erspan_with_a_header_of_its_platform() {
    let head = [&[0x10, 0, 0x22, 0xeb, 0, 0, 0, 1][..], &[0x20; 11], &[0x21], &[7; 8]].concat();
    over_ethernet(|ip| ip.ethernet().after(0, 47, &head).tunnel());
}

#[test]
fn mpls_in_udp_and_ethernet_in_ip() {
    over_ethernet(|ip| ip.mpls(&[16, 17]).udp(6635).tunnel());
    over_ethernet(|ip| ip.ethernet().after(0, 97, &[0x30, 0]).tunnel6());
}

#[test]
fn ayiya_with_and_without_signature() {
    for (lens, extra) in [([0x40, 0x50], 16 + 20), ([0x20, 0x00], 4)] {
        over_ethernet(|ip| {
            let protocol = ip.protocol;
            ip.after(0, 0, &[&lens[..], &[0x11, protocol, 0, 0, 0, 1], &vec![0x5a; extra]].concat()).udp(5072).tunnel()
        });
    }
}

#[test]
fn ip_in_ip_and_6in4_and_4in6() {
    over_ethernet(Layer::tunnel);
    over_ethernet(Layer::tunnel6);
    over_ethernet(|ip| ip.tunnel6().tunnel());
}

#[test]
fn a_mirrored_tunnel_in_a_tunnel() {
    over_ethernet(|ip| ip.vlan(0x8100, 7).ethernet().vxlan().tunnel().ethernet().erspan(2).tunnel());
}

#[test]
fn more_layers_than_any_network_has_are_skipped_by_name() {
    let deep = |packet: &Packet| (0..40).fold(packet.ip(), |ip, _| ip.tunnel()).ethernet();
    let seen = check::<&str>(&talk().capture_as(LinkType::ETHERNET, deep), &[]);
    assert!(!seen.skipped.is_empty() && seen.skipped.iter().all(|why| *why == Skip::TooDeep), "{:?}", seen.skipped);
}

#[test]
fn ipv6_extension_headers_before_tcp() {
    let extended =
        |packet: &Packet| packet.around(packet.tcp().extension(60, 1).extension(43, 3).extension(0, 2)).ethernet();
    check(&talk6().capture_as(LinkType::ETHERNET, extended), &GET);
}

#[test]
fn more_extension_headers_than_the_specification_names() {
    let extended = |packet: &Packet| packet.around((0..8).fold(packet.tcp(), |tcp, _| tcp.extension(60, 1))).ethernet();
    check(&talk6().capture_as(LinkType::ETHERNET, extended), &GET);
}

/// A conversation whose datagrams arrive in fragments, each datagram's fragments reordered.
fn fragmented(talk: &Talk, order: impl Fn(&mut Vec<Layer>)) -> Capture {
    talk.capture_split(LinkType::ETHERNET, |packet| {
        let id = u16::try_from(packet.at / 1_000_000 % 65_536).unwrap();
        let mut pieces = packet.ip().fragments(64, id);
        order(&mut pieces);
        pieces.into_iter().map(Layer::ethernet).collect()
    })
}

#[test]
fn fragments_of_both_versions_in_order() {
    let body = noise(3000);
    let expected = [format!("POST /a{} -> 200 \"hello\"", large(&body))];
    let say = |talk: Talk| talk.client(post("/a", &body)).server(ok("hello")).close();
    check(&fragmented(&say(Talk::open()), |_| {}), &expected);
    check(&fragmented(&say(Talk::joined().between(V6.0, V6.1).handshake()), |_| {}), &expected);
}

#[test]
fn fragments_last_one_first() {
    check(&fragmented(&talk(), |pieces| pieces.reverse()), &GET);
    check(&fragmented(&talk6(), |pieces| pieces.reverse()), &GET);
}

#[test]
fn fragments_that_are_captured_twice() {
    check(&fragmented(&talk(), |_| {}).twice(), &GET);
    check(&fragmented(&talk6(), |_| {}).twice(), &GET);
}

/// The sender has come back to the number half a second later: what was left of the first datagram must not be taken
/// for a piece of the second one.
#[test]
fn a_number_that_is_used_again_after_fragments_that_were_captured_twice() {
    let talk = Talk::open().client(get("/long/enough/for/three/fragments")).server(ok("one")).wait(500);
    let talk = talk.client(get("/quite/another/of/the/same/size")).server(ok("two"));
    let wrap = |packet: &Packet| packet.ip().fragments(32, 7).into_iter().map(Layer::ethernet).collect();
    let frames = talk.capture_split(LinkType::ETHERNET, wrap).twice();
    let first = "GET /long/enough/for/three/fragments -> 200 \"one\"";
    // The handshake is not fragmented, and neither is any number used twice at once.
    check(&frames, &[first, "GET /quite/another/of/the/same/size -> 200 \"two\""]);
}

/// Two networks with the same addresses use the same number at once: no piece of one is put into a datagram of the other.
#[test]
fn fragments_with_the_same_number_in_two_networks() {
    let capture = |network: u16, port: u16, path: &str, order: fn(&mut Vec<Layer>)| {
        let talk = Talk::joined().between(&format!("10.0.0.7:{port}"), "10.0.0.1:80").handshake();
        let talk = talk.client(get(path)).server(ok(path)).close();
        talk.capture_split(LinkType::ETHERNET, |packet| {
            let mut pieces = packet.ip().fragments(32, 7);
            order(&mut pieces);
            pieces.into_iter().map(|piece| piece.vlan(0x8100, network).ethernet()).collect()
        })
    };
    let (first, second) = ("/long/enough/for/three/fragments", "/quite/another/of/the/same/size/");
    let frames = capture(10, 51234, first, |_| {}).with(capture(20, 51235, second, |pieces| pieces.reverse()));
    check(&frames, &[first, second].map(|path| format!("GET {path} -> 200 \"{path}\"")));
}

/// A router sends them on from one network to another, and both are captured.
#[test]
fn fragments_that_are_captured_in_two_networks() {
    let network = |id: u16| {
        talk().capture_split(LinkType::ETHERNET, |packet| {
            let number = u16::try_from(packet.at / 1_000_000 % 65_536).unwrap();
            packet.ip().fragments(32, number).into_iter().map(|piece| piece.vlan(0x8100, id).ethernet()).collect()
        })
    };
    check(&network(10).with(network(20)), &GET);
    check(&network(0).with(network(20)), &GET);
}

#[test]
fn a_datagram_in_fragments_of_eight_bytes() {
    let talk = Talk::open().client(post("/a", noise(9_000))).server(ok("a"));
    let id = |packet: &Packet| u16::try_from(packet.at / 1_000_000 % 65_536).unwrap();
    let wrap = |packet: &Packet| packet.ip().fragments(8, id(packet)).into_iter().map(Layer::ethernet).collect();
    check(&talk.capture_split(LinkType::ETHERNET, wrap), &[format!("POST /a{} -> 200 \"a\"", large(&noise(9_000)))]);
}

#[test]
fn an_atomic_fragment_is_a_whole_datagram() {
    let atomic = |packet: &Packet| packet.ip().fragments(1 << 15, 7).remove(0).ethernet();
    check(&talk6().capture_as(LinkType::ETHERNET, atomic), &GET);
}

#[test]
fn fragments_of_a_tunnel_datagram() {
    let wrap = |packet: &Packet| {
        let id = u16::try_from(packet.at / 1_000_000 % 65_536).unwrap();
        packet.ip().ethernet().vxlan().tunnel().fragments(48, id).into_iter().map(Layer::ethernet).collect()
    };
    check(&talk().capture_split(LinkType::ETHERNET, wrap), &GET);
}

#[test]
fn a_lost_fragment_costs_its_own_exchange_and_no_other() {
    let body = noise(2000);
    let talk = Talk::open()
        .client(get("/a"))
        .server(ok("a"))
        .client(post("/b", &body))
        .server(ok("b"))
        .client(get("/c"))
        .server(ok("c"))
        .close();
    let lose_one = |pieces: &mut Vec<Layer>| {
        if pieces.len() > 20 {
            pieces.remove(7);
        }
    };
    check(&fragmented(&talk, lose_one), &["GET /a -> 200 \"a\"", "GET /c -> 200 \"c\"", "orphan -> 200 \"b\""]);
}

#[test]
fn ethernet_padding_after_short_segments_is_no_data() {
    let body = "0123456789";
    for padding in [0, b'x'] {
        let talk = Talk::open().cut(Client, post("/a", body), &[50, 52, 53]).server(ok("hello")).close();
        let padded = talk.capture_as(LinkType::ETHERNET, |packet| packet.ip().ethernet().padded(padding));
        check(&padded, &["POST /a \"0123456789\" -> 200 \"hello\""]);
    }
}

#[test]
fn a_last_segment_of_five_bytes_in_a_padded_frame_ends_its_chunked_body() {
    let talk = Talk::open()
        .client("POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        .client("0\r\n\r\n")
        .server(ok("ok"))
        .close();
    let padded = talk.capture_as(LinkType::ETHERNET, |packet| packet.ip().ethernet().padded(0));
    check(&padded, &["POST /a \"hello\" -> 200 \"ok\""]);
}

#[test]
fn frames_over_64_kb_whose_ip_length_is_0() {
    let body = noise(100_000);
    let say = |talk: Talk| talk.client(get("/a")).server(ok(&body)).client(get("/b")).server(ok("b")).close();
    let expected = [format!("GET /a -> 200{}", large(&body)), "GET /b -> 200 \"b\"".to_owned()];
    check(&say(Talk::open()).capture(), &expected);
    check(&say(Talk::joined().between(V6.0, V6.1).handshake()).capture(), &expected);
}

#[test]
fn every_frame_twice_is_every_exchange_once() {
    let talk = Talk::open().client(post("/a", "x")).server(ok("a")).client(get("/b")).server(ok("b")).close();
    check(&talk.capture().twice(), &["POST /a \"x\" -> 200 \"a\"", "GET /b -> 200 \"b\""]);
}

#[test]
fn every_frame_once_before_and_once_behind_the_tunnel() {
    let outside = talk().capture_as(LinkType::ETHERNET, |packet| packet.ip().vlan(0x8100, 7).ethernet());
    check(&talk().capture().with(outside), &GET);
}

#[test]
fn a_snap_length_that_cuts_bodies_leaves_heads_statuses_and_lengths_of_the_other_messages() {
    let (response, request) = (ok(noise(900)), post("/b", noise(500)));
    let captured = |message: &[u8], body: usize| large(&noise(1000)[..150 - 54 - (message.len() - body)]);
    let talk = Talk::open()
        .client(get("/a"))
        .server(&response)
        .client(&request)
        .server(ok("b"))
        .client(get("/c"))
        .server(ok("c"))
        .close();
    let expected = [
        format!("GET /a -> 200{} [cut]", captured(&response, 900)),
        format!("POST /b{} [cut] -> 200 \"b\"", captured(&request, 500)),
        "GET /c -> 200 \"c\"".to_owned(),
    ];
    let seen = check(&talk.capture().snaplen(150), &expected);
    assert_eq!(seen.flow.gaps, 2);
}

#[test]
fn a_snap_length_that_cuts_a_request_head_costs_that_request_and_no_other() {
    let long = format!("GET /b HTTP/1.1\r\nHost: h\r\nCookie: {}\r\n\r\n", "c".repeat(300));
    let talk =
        Talk::open().client(get("/a")).server(ok("a")).client(long).server(ok("b")).client(get("/c")).server(ok("c"));
    check(
        &talk.close().capture().snaplen(150),
        &["GET /a -> 200 \"a\"", "GET /b [cut] -> 200 \"b\"", "GET /c -> 200 \"c\""],
    );
}

#[test]
fn a_snap_length_inside_tcp_headers_is_told_as_such() {
    let seen = check::<&str>(&talk().capture().snaplen(50), &[]);
    assert!(!seen.skipped.is_empty() && seen.skipped.iter().all(|why| *why == Skip::Truncated), "{:?}", seen.skipped);
}

#[test]
fn what_is_not_ip_or_not_tcp_is_skipped_by_name() {
    let arp = |_: &Packet| Layer { ether_type: 0x0806, protocol: 0, bytes: vec![0; 46] }.ethernet();
    assert!(
        check::<&str>(&talk().capture_as(LinkType::ETHERNET, arp), &[]).skipped.iter().all(|why| *why == Skip::NotIp)
    );
    let dns = |_: &Packet| Layer { ether_type: 0, protocol: 0, bytes: vec![0; 46] }.udp(53).tunnel().ethernet();
    assert!(
        check::<&str>(&talk().capture_as(LinkType::ETHERNET, dns), &[]).skipped.iter().all(|why| *why == Skip::NotTcp)
    );
    let other = |packet: &Packet| packet.ip().ethernet();
    assert!(
        check::<&str>(&talk().capture_as(LinkType(252), other), &[]).skipped.iter().all(|why| *why == Skip::LinkType)
    );
    let seen = check::<&str>(&talk().capture_as(LinkType(252), other), &[]);
    assert!(seen.advice[0].contains("link type 252, which is not read"), "{:?}", seen.advice);
}

#[test]
fn mirrored_frames_in_another_order_than_sent() {
    let body = noise(20_000);
    let talk = Talk::open()
        .client(get("/a"))
        .reordered(
            |talk| talk.segments(Server, ok(&body), 1000),
            |packets| packets.chunks_mut(4).for_each(<[_]>::reverse),
        )
        .client(get("/b"))
        .server(ok("b"))
        .close();
    let mirrored = talk.capture_as(LinkType::ETHERNET, |packet| packet.ip().ethernet().vxlan().tunnel().ethernet());
    check(&mirrored, &[format!("GET /a -> 200{}", large(&body)), "GET /b -> 200 \"b\"".to_owned()]);
}

#[test]
fn a_port_that_is_named_tells_the_server_where_no_handshake_does() {
    let talk = Talk::joined().between("10.0.0.1:80", "10.0.0.7:51234").client(get("/a")).server(ok("hello")).close();
    check_on(&[51234], &talk.capture(), &GET);
}
