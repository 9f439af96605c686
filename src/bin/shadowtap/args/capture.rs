//! Arguments for the source of requests: capture files or live interfaces.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// Capture files and filters on them.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(crate) struct CaptureArgs {
    /// Captures (pcap, pcapng) or recordings (.gor, JSON lines), plain, gzip or zstd. Several are merged by time; - is
    /// standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Server ports, such as 80,8080 [default: every TCP connection]
    #[arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    ports: Vec<String>,
    /// Filter packets in tcpdump's language, such as 'host 10.0.0.7'
    #[arg(short = 'f', long, value_name = "FILTER")]
    bpf: Option<String>,
    /// Decode these tunnels on other UDP ports than their usual one, such as vxlan:4788 or geneve:6082. On the usual
    /// ports they are always decoded
    #[arg(long = "tunnel", value_name = "TUNNELS")]
    tunnels: Vec<String>,
    /// Memory for following connections, such as 256M or 2G. Past it the oldest and largest are dropped and counted
    /// [default: 512M]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
}

impl From<CaptureArgs> for typed::Capture {
    fn from(args: CaptureArgs) -> Self {
        let CaptureArgs { files, ports, bpf, tunnels, max_memory } = args;
        Self { files, ports, bpf, tunnels, max_memory }
    }
}

/// Interfaces and filters of a live capture, and the privileges it keeps.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(crate) struct LiveArgs {
    /// Interfaces, such as eth0,eth1, 'veth*' or any. List them with `shadowtap interfaces` [default: those that carry the
    /// ports]
    #[arg(short, long = "interface", value_name = "NAMES")]
    interfaces: Vec<String>,
    /// Wait for interfaces: at the start until they are there and up, and later where none is left. Without it such a run
    /// ends with exit code 2
    #[arg(long)]
    wait_interface: bool,
    /// Server ports, such as 80,8080, inside VLAN tags too [default: every TCP connection]
    #[arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    ports: Vec<String>,
    /// Filter packets in tcpdump's language, such as 'host 10.0.0.7'. Runs in the kernel
    #[arg(short = 'f', long, value_name = "FILTER")]
    bpf: Option<String>,
    /// Decode mirrored traffic in these tunnels: vxlan, geneve, gre (with ERSPAN), tzsp. Add a UDP port where it is not
    /// the usual one, such as vxlan:4788
    #[arg(long = "tunnel", value_name = "TUNNELS")]
    tunnels: Vec<String>,
    /// Connections to take where this host is a proxy: in (to it), out (from it), or both [default: both, without its
    /// own connections to a port on which it listens]
    #[arg(long, value_name = "DIRECTION")]
    direction: Option<String>,
    /// Kernel buffer for frames, over all interfaces. Past it frames are dropped and counted [default: 64M]
    #[arg(long, value_name = "SIZE")]
    buffer: Option<String>,
    /// Bytes to capture of each frame. A request that is cut is incomplete [default: 256K]
    #[arg(long, value_name = "SIZE")]
    snaplen: Option<String>,
    /// Do not use promiscuous mode. A mirror port then shows nothing
    #[arg(long)]
    no_promiscuous: bool,
    /// Memory for following connections, such as 256M or 2G. Past it the oldest and largest are dropped and counted
    /// [default: 512M]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
    /// User to run as once the interfaces are open, by name or number [default: the user behind
    /// sudo, else nobody; root without its capabilities, where nobody may not write the outputs]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

impl From<LiveArgs> for typed::Live {
    fn from(args: LiveArgs) -> Self {
        Self {
            interfaces: args.interfaces,
            ports: args.ports,
            bpf: args.bpf,
            tunnels: args.tunnels,
            direction: args.direction,
            buffer: args.buffer,
            snaplen: args.snaplen,
            no_promiscuous: args.no_promiscuous,
            wait_interface: args.wait_interface,
            max_memory: args.max_memory,
            user: args.user,
        }
    }
}
