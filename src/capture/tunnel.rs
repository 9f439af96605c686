//! Ways in which mirrored traffic arrives inside other packets, and the UDP ports that they use.

use std::fmt;
use std::str::FromStr;

/// Protocol that carries mirrored frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TunnelKind {
    /// VXLAN (RFC 7348).
    Vxlan,
    /// Geneve (RFC 8926).
    Geneve,
    /// GRE (RFC 2784), ERSPAN among it; with a port, GRE in UDP (RFC 8086).
    Gre,
    /// TZSP, as wireless sniffers and small routers stream what they see.
    Tzsp,
}

impl TunnelKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Vxlan, Self::Geneve, Self::Gre, Self::Tzsp];

    /// The name that is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Gre => "gre",
            Self::Tzsp => "tzsp",
        }
    }

    /// The UDP ports that it has of its own (IANA); 8472 is what Linux used for VXLAN before there was a number.
    #[must_use]
    pub const fn ports(self) -> &'static [u16] {
        match self {
            Self::Vxlan => &[4789, 8472],
            Self::Geneve => &[6081],
            Self::Gre => &[4754],
            Self::Tzsp => &[37008],
        }
    }

    /// The tunnel whose own port this is.
    #[must_use]
    pub(crate) fn of_port(port: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.ports().contains(&port))
    }
}

/// A tunnel as typed: `vxlan`, or `vxlan:4788` where it uses a UDP port of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tunnel {
    /// Protocol that carries the frames.
    pub kind: TunnelKind,
    /// The UDP port that it is sent to, where it is another than usual.
    pub port: Option<u16>,
}

impl Tunnel {
    /// Each kind on its usual port.
    pub const ALL: [Self; 4] = [
        Self::usual(TunnelKind::Vxlan),
        Self::usual(TunnelKind::Geneve),
        Self::usual(TunnelKind::Gre),
        Self::usual(TunnelKind::Tzsp),
    ];

    /// A tunnel on its usual port.
    #[must_use]
    pub const fn usual(kind: TunnelKind) -> Self {
        Self { kind, port: None }
    }

    /// The packets around the tunnel, in libpcap's language.
    #[must_use]
    pub fn carrier(self) -> String {
        if let Some(port) = self.port {
            return format!("udp dst port {port}");
        }
        let ports = self.kind.ports().iter().map(|port| format!("udp dst port {port}"));
        let gre = (self.kind == TunnelKind::Gre).then_some(["ip proto 47".to_owned(), "ip6 proto 47".to_owned()]);
        gre.into_iter().flatten().chain(ports).collect::<Vec<_>>().join(" or ")
    }

    /// The IP protocols that carry it.
    #[must_use]
    pub const fn protocols(self) -> &'static [u8] {
        match (self.kind, self.port) {
            (TunnelKind::Gre, None) => &[47, 17],
            _ => &[17],
        }
    }
}

impl fmt::Display for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for Tunnel {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let (name, port) = typed.trim().split_once(':').map_or((typed.trim(), None), |(name, port)| (name, Some(port)));
        let found = TunnelKind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name));
        let kind = found.ok_or_else(|| {
            format!("`{typed}` is no tunnel that is known; write vxlan, geneve, gre or tzsp, with a port where it has another: vxlan:4788")
        })?;
        let port = port.map(|port| match port.parse() {
            Ok(port) if port > 0 => Ok(port),
            _ => {
                Err(format!("`{typed}` has no UDP port; write a number from 1 to 65535, such as {}:4788", kind.name()))
            }
        });
        Ok(Self { kind, port: port.transpose()? })
    }
}
