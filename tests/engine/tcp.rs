//! Segments in every order and number: each byte once, each loss told.

use shadowtap::exchange::Close;

use crate::packets::{ACK, Client, FIN, RST, SYN, Server, Talk};
use crate::{check, chunked, get, large, noise, ok, post};

const TWO: [&str; 2] = ["GET /a -> 200 \"a\"", "GET /b -> 200 \"b\""];
