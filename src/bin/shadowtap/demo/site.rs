//! Pages of the demo's TV platform, as functions of the requested resource.
//!
//! Production (nginx, when the demo was recorded) and staging both serve these pages. So the report finds only the
//! differences that [`super::staging`] makes on purpose. Nothing here knows of HTTP beyond names.

use std::fmt::Write as _;

/// Last-Modified of every page, seconds since the epoch: a part of nginx's entity tags.
pub(crate) const MODIFIED: u64 = 1_767_225_600;

/// Channels are numbered from 1 to this.
const CHANNELS: usize = 40;

/// Viewers have sessions `u1` up to this number.
const VIEWERS: usize = 24;

/// The days that `/v2/programs?day=` knows.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Values of `/v2/search?q=` that have results, as written in the query: percent-encoded, never decoded.
const WORDS: [&str; 10] =
    ["news", "football", "jazz", "late+night", "d%C3%A9tective", "comedy", "cooking", "mountain", "opera", "kids"];

/// Body of nginx's response to `return 301`, with `server_tokens off`.
pub(crate) const MOVED: &str = "<html>\r\n<head><title>301 Moved Permanently</title></head>\r\n<body>\r\n\
     <center><h1>301 Moved Permanently</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// Body of the response to `/health`.
pub(crate) const HEALTH: &str = "ok\n";

/// Body of the response to any unknown path, with status 404.
pub(crate) const NOT_FOUND: &str = "{\"error\":\"not found\"}\n";

const GENRES: [&str; 8] = ["news", "sport", "film", "series", "music", "children", "nature", "talk"];
const PLACES: [&str; 7] = ["Harbour", "Valley", "Station", "Market", "Lighthouse", "Orchard", "Bridge"];
const KINDS: [&str; 9] = ["Report", "Stories", "Live", "Tonight", "Journal", "Quartet", "Derby", "Kitchen", "Trail"];
const SENTENCES: [&str; 6] = [
    "A fisherman finds a letter that was posted before he was born.",
    "The week in the city council, with questions sent in by viewers.",
    "Two cooks, one stove and a basket whose contents neither of them chose.",
    "The second leg, with the home side two goals behind and three players short.",
    "Recorded in one take in the old turbine hall.",
    "Why the swifts came back, told by those who counted them.",
];

/// The entity tag that nginx gives a static page of `len` bytes: modification time and length in hexadecimal.
pub(crate) fn entity_tag(len: usize) -> String {
    format!("\"{MODIFIED:x}-{len:x}\"")
}

/// `/`
fn home() -> String {
    let mut page = String::from("<!doctype html>\n<title>Lantern TV</title>\n<h1>Tonight</h1>\n<ul>\n");
    for channel in 1..=8 {
        push(&mut page, format_args!("<li><a href=\"/v2/channels/{channel}\">{}</a>\n", title(channel, 20)));
    }
    page.push_str("</ul>\n");
    page
}

/// `/v2/channels`
fn channels() -> String {
    list("channels", 1..=CHANNELS, |page, n| {
        push(
            page,
            format_args!(
                "{{\"id\":{n},\"name\":\"{}\",\"genre\":\"{}\",\"hd\":{},\"logo\":\"/img/{n}-{:04x}.svg\"}}",
                name(n),
                pick(&GENRES, n),
                n % 3 != 0,
                mix(n, 7) & 0xffff
            ),
        );
    })
}

/// `/v2/channels/{n}`; `None` where there is no such channel.
fn channel(n: usize) -> Option<String> {
    if !(1..=CHANNELS).contains(&n) {
        return None;
    }
    let mut page = format!("{{\"id\":{n},\"name\":\"{}\",\"genre\":\"{}\",\"next\":[\n", name(n), pick(&GENRES, n));
    for hour in 18..24 {
        let end = if hour == 23 { "\n" } else { ",\n" };
        push(
            &mut page,
            format_args!(
                "{{\"at\":\"{hour}:00\",\"title\":\"{}\",\"about\":\"{}\"}}{end}",
                title(n, hour),
                pick(&SENTENCES, mix(n, hour))
            ),
        );
    }
    page.push_str("]}\n");
    Some(page)
}

/// `/v2/programs?day={day}`; `None` where there is no such day.
fn programs(day: &str) -> Option<String> {
    let number = DAYS.iter().position(|known| *known == day)?;
    Some(list("programs", 1..=48, |page, slot| {
        let seed = number * 64 + slot;
        push(
            page,
            format_args!(
                "{{\"day\":\"{day}\",\"at\":\"{:02}:{:02}\",\"channel\":{},\"title\":\"{}\",\"about\":\"{}\"}}",
                (slot - 1) / 2,
                (slot - 1) % 2 * 30,
                mix(seed, 3) % CHANNELS + 1,
                title(seed, slot),
                pick(&SENTENCES, mix(seed, 11))
            ),
        );
    }))
}

/// `/v2/search?q={word}`; a word that is not known finds nothing.
fn search(word: &str) -> String {
    let Some(number) = WORDS.iter().position(|known| *known == word) else {
        return String::from("{\"hits\":[\n]}\n");
    };
    list("hits", 1..=9, |page, rank| {
        let seed = number * 16 + rank;
        push(
            page,
            format_args!(
                "{{\"rank\":{rank},\"channel\":{},\"title\":\"{}\",\"score\":0.{:02}}}",
                mix(seed, 5) % CHANNELS + 1,
                title(seed, rank),
                99 - rank * 7
            ),
        );
    })
}

/// `/v2/profile` of a session; `None` where nobody has it.
fn profile(session: &str) -> Option<String> {
    let number = viewer(session)?;
    Some(format!(
        "{{\"viewer\":\"{session}\",\"plan\":\"{}\",\"language\":\"en\",\"favourites\":[{},{},{}],\"adult\":false}}\n",
        pick(&["basic", "family", "premium"], number),
        mix(number, 1) % CHANNELS + 1,
        mix(number, 2) % CHANNELS + 1,
        mix(number, 3) % CHANNELS + 1,
    ))
}

/// Every page that is a file under production's document root: its name there, and what it holds. Which request
/// gets which is written down in `testdata/production.conf` for nginx, and in [`super::staging`].
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = vec![
        ("home.html".to_owned(), home()),
        ("404.json".to_owned(), NOT_FOUND.to_owned()),
        ("channels.json".to_owned(), channels()),
        ("search-none.json".to_owned(), search("")),
    ];
    files.extend((1..=CHANNELS).filter_map(|n| Some((format!("channel-{n}.json"), channel(n)?))));
    files.extend(DAYS.iter().filter_map(|day| Some((format!("programs-{day}.json"), programs(day)?))));
    files.extend(WORDS.iter().map(|word| (format!("search-{word}.json"), search(word))));
    files.extend((1..=VIEWERS).map(|n| format!("u{n}")).filter_map(|session| {
        let page = profile(&session)?;
        Some((format!("profile-{session}.json"), page))
    }));
    files
}

fn viewer(session: &str) -> Option<usize> {
    let number = session.strip_prefix('u')?.parse().ok()?;
    // `u07` and `u+7` are other names, and nobody's.
    ((1..=VIEWERS).contains(&number) && session == format!("u{number}")).then_some(number)
}

/// A JSON object with one array, an element a line.
fn list(key: &str, of: std::ops::RangeInclusive<usize>, element: impl Fn(&mut String, usize)) -> String {
    let last = *of.end();
    let mut page = format!("{{\"{key}\":[\n");
    for n in of {
        element(&mut page, n);
        page.push_str(if n == last { "\n" } else { ",\n" });
    }
    page.push_str("]}\n");
    page
}

fn name(channel: usize) -> String {
    format!("{} {}", pick(&PLACES, mix(channel, 13)), channel)
}

fn title(seed: usize, salt: usize) -> String {
    let place = pick(&PLACES, mix(seed, salt));
    let kind = pick(&KINDS, mix(seed, salt + 1));
    format!("{place} {kind}")
}

fn pick<'a>(from: &[&'a str], by: usize) -> &'a str {
    from.get(by % from.len()).copied().unwrap_or_default()
}

/// Spreads small numbers; the same on every machine.
fn mix(a: usize, b: usize) -> usize {
    let mixed = (a as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (b as u64 + 1).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    usize::try_from(mixed >> 40).unwrap_or_default()
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    #[expect(clippy::let_underscore_must_use, reason = "writing to a String cannot fail")]
    let _ = page.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_json_page_is_json() {
        for (name, page) in files() {
            if name.ends_with("json") {
                assert!(serde_json::from_str::<serde_json::Value>(&page).is_ok(), "{name}: {page}");
            }
        }
    }

    #[test]
    fn only_the_lists_are_long_enough_for_compression() {
        for (name, page) in files() {
            let compressed = name == "channels.json" || name.starts_with("programs-");
            assert_eq!(page.len() >= 2000, compressed, "{name} has {} bytes", page.len());
        }
    }

    #[test]
    fn sessions_have_one_spelling() {
        assert!(profile("u1").is_some());
        for nobody in ["u0", "u25", "u01", "u+1", "1", "", "u"] {
            assert!(profile(nobody).is_none(), "{nobody}");
        }
    }
}
