//! Arguments for the source of requests: capture files or live interfaces.

use std::path::PathBuf;

/// Capture files and filters on them.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Capture"))]
pub struct Capture {
    /// Captures (pcap, pcapng), recordings (.gor, JSON lines) or, with --format, access logs, plain, gzip or zstd. Several
    /// are merged by time; - is standard input. `nats://HOST/NAME` is a recording on NATS
    #[cfg_attr(feature = "cli", arg(required = true, value_name = "FILE"))]
    pub files: Vec<PathBuf>,
    /// Read the files as access logs of this format: haproxy, nginx, combined, common, json, or a format of your own in
    /// quotes, as nginx and HAProxy have it. See docs/access-logs.md
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORMAT"))]
    pub format: Option<String>,
    /// Server ports, such as 80,8080 [default: every TCP connection]
    #[cfg_attr(feature = "cli", arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true))]
    pub ports: Vec<String>,
    /// Filter packets in tcpdump's language, such as 'host 10.0.0.7'
    #[cfg_attr(feature = "cli", arg(short = 'f', long, value_name = "FILTER"))]
    pub bpf: Option<String>,
    /// Decode these tunnels on other UDP ports than their usual one, such as vxlan:4788 or geneve:6082. On the usual
    /// ports they are always decoded
    #[cfg_attr(feature = "cli", arg(long = "tunnel", value_name = "TUNNELS"))]
    pub tunnels: Vec<String>,
    /// Memory for following connections, such as 256M or 2G. Past it the oldest and largest are dropped and counted
    /// [default: 512M]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE"))]
    pub max_memory: Option<String>,
}

/// Interfaces and filters of a live capture, and the privileges it keeps.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "cli", derive(clap::Args), command(next_help_heading = "Capture"))]
pub struct Live {
    /// Interfaces, such as eth0,eth1, 'veth*' or any. List them with `shadowtap interfaces` [default: those that carry the
    /// ports]
    #[cfg_attr(feature = "cli", arg(short, long = "interface", value_name = "NAMES"))]
    pub interfaces: Vec<String>,
    /// Take requests from HAProxy instead: listen for its SPOE at this address, such as 127.0.0.1:9100, or at the path of
    /// a Unix socket. See docs/haproxy.md
    #[cfg_attr(feature = "cli", arg(long, value_name = "ADDRESS"))]
    pub spoe: Option<String>,
    /// Wait for interfaces: at the start until they are there and up, and later where none is left. Without it such a run
    /// ends with exit code 2
    #[cfg_attr(feature = "cli", arg(long))]
    pub wait_interface: bool,
    /// Server ports, such as 80,8080, inside VLAN tags too [default: every TCP connection]
    #[cfg_attr(feature = "cli", arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true))]
    pub ports: Vec<String>,
    /// Filter packets in tcpdump's language, such as 'host 10.0.0.7'. Runs in the kernel
    #[cfg_attr(feature = "cli", arg(short = 'f', long, value_name = "FILTER"))]
    pub bpf: Option<String>,
    /// Decode mirrored traffic in these tunnels: vxlan, geneve, gre (with ERSPAN), tzsp. Add a UDP port where it is not
    /// the usual one, such as vxlan:4788
    #[cfg_attr(feature = "cli", arg(long = "tunnel", value_name = "TUNNELS"))]
    pub tunnels: Vec<String>,
    /// Connections to take where this host is a proxy: in (to it), out (from it), or both [default: both, without its
    /// own connections to a port on which it listens]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DIRECTION"))]
    pub direction: Option<String>,
    /// Kernel buffer for frames, over all interfaces. Past it frames are dropped and counted [default: 64M]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE"))]
    pub buffer: Option<String>,
    /// Bytes to capture of each frame. A request that is cut is incomplete [default: 256K]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE"))]
    pub snaplen: Option<String>,
    /// Do not use promiscuous mode. A mirror port then shows nothing
    #[cfg_attr(feature = "cli", arg(long))]
    pub no_promiscuous: bool,
    /// Memory for following connections, such as 256M or 2G. Past it the oldest and largest are dropped and counted
    /// [default: 512M]
    #[cfg_attr(feature = "cli", arg(long, value_name = "SIZE"))]
    pub max_memory: Option<String>,
    /// User to run as once the interfaces are open, by name or number [default: the user behind
    /// sudo, else nobody; root without its capabilities, where nobody may not write the outputs]
    #[cfg_attr(feature = "cli", arg(long, value_name = "USER"))]
    pub user: Option<String>,
}
