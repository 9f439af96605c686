//! Where requests come from: files, or the wire.

use std::path::PathBuf;

use clap::Args;
use shadowtap::config::typed;

/// What to read.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(crate) struct CaptureArgs {
    /// Captures (pcap, pcapng) or recordings (.gor, JSON lines), plain, gzip or zstd; - is standard input. Several are
    /// merged by time
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Ports of the servers, such as 80,8080 [default: every TCP connection]
    #[arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    ports: Vec<String>,
    /// A filter in tcpdump's language, such as 'host 10.0.0.7'
    #[arg(short = 'f', long, value_name = "FILTER")]
    bpf: Option<String>,
    /// Look into these tunnels on UDP ports of their own, such as vxlan:4788 or geneve:6082; on its usual port every
    /// tunnel is looked into
    #[arg(long = "tunnel", value_name = "TUNNELS")]
    tunnels: Vec<String>,
    /// What following connections may take in memory, such as 256M or 2G; past it the oldest and largest are given up,
    /// and counted [default: 512M]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
}

impl From<CaptureArgs> for typed::Capture {
    fn from(args: CaptureArgs) -> Self {
        let CaptureArgs { files, ports, bpf, tunnels, max_memory } = args;
        Self { files, ports, bpf, tunnels, max_memory }
    }
}

/// What to capture live, and with which rights.
#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
pub(crate) struct LiveArgs {
    /// Interfaces, such as eth0,eth1, or any for all at once; `shadowtap interfaces` lists them [default: those that
    /// carry the ports]
    #[arg(short, long = "interface", value_name = "NAMES")]
    interfaces: Vec<String>,
    /// Ports of the servers, such as 80,8080, with VLAN tags or without [default: every TCP connection]
    #[arg(short, long = "port", value_name = "PORTS", allow_hyphen_values = true)]
    ports: Vec<String>,
    /// A filter in tcpdump's language, such as 'host 10.0.0.7'; it runs in the kernel
    #[arg(short = 'f', long, value_name = "FILTER")]
    bpf: Option<String>,
    /// Look into these tunnels for mirrored traffic: vxlan, geneve, gre (ERSPAN too), tzsp; with a UDP port where it is
    /// another than usual, such as vxlan:4788
    #[arg(long = "tunnel", value_name = "TUNNELS")]
    tunnels: Vec<String>,
    /// Which connections are taken where this host is a proxy: in (to it), out (from it to others), both [default: all,
    /// but for what it sends to a port elsewhere on which it listens itself]
    #[arg(long, value_name = "DIRECTION")]
    direction: Option<String>,
    /// What the kernel may hold of frames that wait to be read, over all interfaces; past it frames are dropped, and
    /// counted [default: 64M]
    #[arg(long, value_name = "SIZE")]
    buffer: Option<String>,
    /// Bytes of a frame that are captured; a request that is cut is never sent [default: 256K]
    #[arg(long, value_name = "SIZE")]
    snaplen: Option<String>,
    /// Leave the interfaces out of promiscuous mode: then a mirror port shows nothing
    #[arg(long)]
    no_promiscuous: bool,
    /// What following connections may take in memory, such as 256M or 2G; past it the oldest and largest are given up,
    /// and counted [default: 512M]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
    /// Who to run as once the interfaces are open: a name or a number [default: the user behind sudo, else nobody]
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
            max_memory: args.max_memory,
            user: args.user,
        }
    }
}
