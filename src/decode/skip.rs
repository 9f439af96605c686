//! Why a frame gives no TCP segment.

/// Reason why a frame gives no TCP segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Skip {
    /// The filter (`-f`) does not match it.
    Filter,
    /// Neither of its TCP ports was asked for (`-p`).
    Port,
    /// It carries something else than TCP.
    NotTcp,
    /// It carries something else than IP (ARP, LLDP, ...).
    NotIp,
    /// Its link type is not read.
    LinkType,
    /// Its bytes end inside a header: it was cut by the snap length, or never whole.
    Truncated,
    /// A header contradicts itself.
    BadHeader,
    /// A fragment, held until the rest of its datagram comes.
    Fragment,
    /// A fragment that overlaps, repeats or contradicts another one, or is one too many.
    BadFragment,
    /// More encapsulations than any network has.
    TooDeep,
    /// Its content is encrypted or compressed (IPsec ESP, `MACsec`, `IPComp`).
    Encrypted,
    /// A tunnel on a UDP port that is not its own: `--tunnel` looks into it.
    TunnelPort,
    /// A tag that is not known, with IP behind it.
    UnknownTag,
    /// It is of a connection that was seen elsewhere under other addresses.
    Duplicate,
    /// It is of what a proxy on this host sends on, or of a direction that was not asked for (`--direction`).
    Direction,
}

impl Skip {
    /// Every reason, in the order of [`Skip::index`].
    pub const ALL: [Self; 15] = [
        Self::Filter,
        Self::Port,
        Self::NotTcp,
        Self::NotIp,
        Self::LinkType,
        Self::Truncated,
        Self::BadHeader,
        Self::Fragment,
        Self::BadFragment,
        Self::TooDeep,
        Self::Encrypted,
        Self::TunnelPort,
        Self::UnknownTag,
        Self::Duplicate,
        Self::Direction,
    ];

    /// Place in [`Skip::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Key in machine-readable output.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Port => "port",
            Self::NotTcp => "not_tcp",
            Self::NotIp => "not_ip",
            Self::LinkType => "link_type",
            Self::Truncated => "truncated",
            Self::BadHeader => "bad_header",
            Self::Fragment => "fragment",
            Self::BadFragment => "bad_fragment",
            Self::TooDeep => "too_deep",
            Self::Encrypted => "encrypted",
            Self::TunnelPort => "tunnel_port",
            Self::UnknownTag => "unknown_tag",
            Self::Duplicate => "duplicate",
            Self::Direction => "direction",
        }
    }
}
