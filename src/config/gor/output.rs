//! Outputs: where requests are sent, and where they are recorded.

use url::Url;

use super::chain::{self, ChainLink};
use super::values::{self, Limit};
use super::words::Words;
use crate::config::ConfigMistakes;

/// Records and bytes of a file where nothing else is said.
const QUEUE_LIMIT: &str = "256";
const SIZE_LIMIT: &str = "32mb";
/// Longest wait for a response where nothing else is said.
const TIMEOUT: &str = "5s";

/// A target of `--output-http`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct HttpOutput {
    pub(super) url: String,
    /// Path and query to which every request goes, where the address had some.
    pub(super) path: Option<String>,
    pub(super) limit: Option<Limit>,
}

/// The targets.
pub(super) fn targets(words: &Words, mistakes: &mut ConfigMistakes, notes: &mut Vec<String>) -> Vec<HttpOutput> {
    let read = words.all("output-http").iter().map(|typed| target(typed));
    let targets: Vec<HttpOutput> = read.filter_map(|target| mistakes.keep("--output-http", target)).collect();
    for HttpOutput { url, path, limit } in &targets {
        if let Some(path) = path {
            notes.push(format!(
                "--output-http: every request goes to {path} of {url}, as in GoReplay; leave the path out to keep the paths \
                 of the requests"
            ));
        }
        if let Some(Limit::Percent(percent @ 101..)) = limit {
            notes.push(format!("--output-http: |{percent}% is more than all, and sends all, as in GoReplay"));
        }
    }
    targets
}

fn target(typed: &str) -> Result<HttpOutput, String> {
    let (address, limit) = values::limited(typed)?;
    if address.is_empty() {
        return Err(super::EMPTY.to_owned());
    }
    let with_scheme = || format!("`{address}` has no scheme, and GoReplay sends nothing then: write http://{address}");
    let url = Url::parse(address).map_err(|_| with_scheme())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(with_scheme());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "GoReplay ignores user and password there, and a command line is read by everybody on the machine";
        return Err(format!("{why}: set them in a chain file (docs/filters.md, basic-auth)"));
    }
    let behind = address.split_once("://").map_or("", |(_, behind)| behind);
    let path = behind.find(['/', '?']).and_then(|at| behind.get(at..)).filter(|path| path.starts_with('/'));
    let authority = behind.split(['/', '?', '#']).next().unwrap_or(behind);
    Ok(HttpOutput { url: format!("{}://{authority}", url.scheme()), path: path.map(str::to_owned), limit })
}

/// The link for requests that all go to one path.
pub(super) fn one_path(path: &str) -> ChainLink {
    let with = chain::literal(&path.replace('$', "$$"));
    let with = chain::quoted(&with);
    ("output-http", format!("replace-url = {{ match = '(?s)^.*$', with = {with} }}"))
}

/// The link for a limit behind an address; `None` where all may pass.
pub(super) fn limit_link(limit: Option<Limit>) -> Option<ChainLink> {
    match limit? {
        Limit::Percent(100..) => None,
        Limit::Percent(percent) => Some(("output-http", format!("sample = '{percent}%'"))),
        Limit::PerSecond(0) => Some(("output-http", "sample = '0%'".to_owned())),
        Limit::PerSecond(number) => Some(("output-http", format!("limit = '{number}/s'"))),
    }
}

/// The flags for a limit behind the only address.
pub(super) fn limit_flags(limit: Option<Limit>) -> Vec<String> {
    let (flag, value) = match limit {
        None | Some(Limit::Percent(100..)) => return Vec::new(),
        Some(Limit::Percent(percent)) => ("--sample", format!("{percent}%")),
        Some(Limit::PerSecond(0)) => ("--sample", "0%".to_owned()),
        Some(Limit::PerSecond(number)) => ("--limit", format!("{number}/s")),
    };
    vec![flag.to_owned(), value]
}

/// How it is sent.
pub(super) fn sending(words: &Words, targets: &[HttpOutput], mistakes: &mut ConfigMistakes) -> Vec<String> {
    let mut flags = vec!["--allow-writes".to_owned()];
    let timeout = words.get("output-http-timeout").unwrap_or(TIMEOUT);
    if let Some(timeout) = mistakes.keep("--output-http-timeout", values::duration(timeout)) {
        // What is shorter, GoReplay makes a second.
        let timeout = if timeout.as_millis() < 100 { std::time::Duration::from_secs(1) } else { timeout };
        let timeout = values::written(timeout);
        flags.extend(["--timeout".to_owned(), timeout.clone(), "--max-time".to_owned(), timeout]);
    }
    if let Some(workers) = words.get("output-http-workers") {
        let number = values::number_of(workers).ok_or_else(|| format!("`{workers}` is no number of workers"));
        let number = mistakes.keep("--output-http-workers", number).filter(|number| *number > 0);
        flags.extend(number.into_iter().flat_map(|number| ["--max-in-flight".to_owned(), number.to_string()]));
    }
    if words.is_on("output-http-skip-verify") && targets.iter().any(|target| target.url.starts_with("https")) {
        flags.push("--insecure".to_owned());
    }
    let sets_host =
        words.all("http-set-header").iter().any(|header| header.trim_start().to_lowercase().starts_with("host:"));
    if words.is_on("http-original-host") && !sets_host {
        flags.push("--keep-host".to_owned());
    }
    if words.is_on("recognize-tcp-sessions") {
        flags.extend(["--connections", "mirrored"].map(str::to_owned));
    }
    flags
}

/// The flags for a recording; empty where none is asked for.
pub(super) fn recording(words: &Words, mistakes: &mut ConfigMistakes, notes: &mut Vec<String>) -> Vec<String> {
    let files = words.all("output-file");
    if files.len() > 1 {
        mistakes.add("--output-file", "a run has one recording: copy the file, or run two");
    }
    let Some(typed) = files.last() else {
        let stdout = words.is_on("output-stdout").then(|| ["-o", "-"].map(str::to_owned));
        return stdout.into_iter().flatten().collect();
    };
    if words.is_on("output-stdout") {
        mistakes.add("--output-file and --output-stdout", "a run has one recording: follow the file with tail -f");
    }
    if typed.starts_with("s3://") {
        mistakes.add("--output-file", format!("{typed}: record to a file, and copy it, such as with aws s3 cp"));
        return Vec::new();
    }
    if typed.is_empty() {
        mistakes.add("--output-file", super::EMPTY);
        return Vec::new();
    }
    if typed.contains('|') {
        mistakes.add("--output-file", "a limit behind a file is one for all outputs here: put it behind the input");
        return Vec::new();
    }
    let appends = words.is_on("output-file-append");
    let Some(name) = mistakes.keep("--output-file", file_name(typed, !appends, notes)) else { return Vec::new() };
    let mut flags = vec!["-o".to_owned(), name.clone()];
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    if std::path::Path::new(plain).extension().is_none_or(|ending| ending != "gor") {
        flags.extend(["--format", "gor"].map(str::to_owned));
    }
    if appends {
        flags.push("--append".to_owned());
        return flags;
    }
    rotation(words, &name, &mut flags, mistakes, notes);
    flags
}

fn rotation(
    words: &Words,
    name: &str,
    flags: &mut Vec<String>,
    mistakes: &mut ConfigMistakes,
    notes: &mut Vec<String>,
) {
    let count = words.get("output-file-queue-limit").unwrap_or(QUEUE_LIMIT);
    let count = values::number_of(count).ok_or_else(|| format!("`{count}` is no number of records"));
    let count = mistakes.keep("--output-file-queue-limit", count).unwrap_or_default();
    let size = words.get("output-file-size-limit").unwrap_or(SIZE_LIMIT);
    let size = mistakes.keep("--output-file-size-limit", values::size(size)).unwrap_or_default();
    if count > 0 {
        flags.extend(["--rotate-count".to_owned(), count.to_string()]);
        notes.push(format!(
            "a new file begins every {count} records ({name}, where %i is 0, 1, 2...), as in GoReplay; --output-file-append \
             makes one of them"
        ));
    }
    if size > 0 {
        flags.extend(["--rotate-size".to_owned(), values::written_size(size)]);
    }
}

/// GoReplay's pattern as ours: the fields of time that it knows, and the number of the file before the last ending.
fn file_name(typed: &str, numbered: bool, notes: &mut Vec<String>) -> Result<String, String> {
    let mut name = String::new();
    let mut rest = typed;
    let mut has_time = false;
    while let Some((before, after)) = rest.split_once('%') {
        name.push_str(before);
        if after.starts_with("NS") {
            return Err("%NS makes a file of each record: name the second at most, %S".to_owned());
        }
        match after.chars().next() {
            Some(field @ ('r' | 't' | 'i')) => {
                let why = "a recording is not split by request, type or instance";
                return Err(format!("%{field}: {why}; shadowtap inspect FILE --json has each exchange on a line"));
            }
            Some('Y' | 'm' | 'd' | 'H' | 'M' | 'S') => {
                has_time = true;
                name.push('%');
            }
            _ => name.push_str("%%"),
        }
        rest = after;
    }
    name.push_str(rest);
    if has_time {
        notes.push("times in names of files are UTC; GoReplay takes the local time".to_owned());
    }
    let mut name = super::no_flag(name);
    if !numbered {
        return Ok(name);
    }
    let folder = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name.rfind('.').filter(|dot| *dot > folder).unwrap_or(name.len());
    name.insert_str(dot, "_%i");
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> (Words, ConfigMistakes) {
        let mut mistakes = ConfigMistakes::default();
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        (Words::read(&words, &mut mistakes), mistakes)
    }

    fn recorded(typed: &[&str]) -> (String, String, Vec<String>) {
        let (words, mut mistakes) = words(typed);
        let mut notes = Vec::new();
        (recording(&words, &mut mistakes, &mut notes).join(" "), mistakes.to_string(), notes)
    }

    #[test]
    fn files_have_the_names_and_the_sizes_that_goreplay_gives_them() {
        for (typed, flags) in [
            (&["--output-file", "./x.gor"][..], "-o ./x_%i.gor --rotate-count 256 --rotate-size 32M"),
            (&["--output-file", "a.d/logs"], "-o a.d/logs_%i --format gor --rotate-count 256 --rotate-size 32M"),
            (
                &["--output-file", "x.gor.gz", "--output-file-queue-limit", "0", "--output-file-size-limit", "0"],
                "-o x.gor_%i.gz --format gor",
            ),
            (&["--output-file", "/d/%Y-%m-%d/50%.gor", "--output-file-append"], "-o /d/%Y-%m-%d/50%%.gor --append"),
            (&["--output-stdout"], "-o -"),
            (&["--stats"], ""),
        ] {
            let (found, mistakes, _) = recorded(typed);
            assert_eq!((found.as_str(), mistakes.as_str()), (flags, ""), "{typed:?}");
        }
        assert!(recorded(&["--output-file", "x.gor"]).2[0].contains("every 256 records"));
        assert!(recorded(&["--output-file", "%H.gor"]).2[0].contains("UTC"));
    }

    #[test]
    fn what_no_recording_does_is_refused() {
        for (typed, part) in [
            (&["--output-file", "%r.gor"][..], "not split by request"),
            (&["--output-file", "%NS.gor"], "a file of each record"),
            (&["--output-file", "s3://b/x"], "copy it"),
            (&["--output-file", "a.gor", "--output-file", "b.gor"], "one recording"),
            (&["--output-file", "a.gor", "--output-stdout"], "tail -f"),
            (&["--output-file", "a.gor|10"], "behind the input"),
        ] {
            assert!(recorded(typed).1.contains(part), "{typed:?}: {}", recorded(typed).1);
        }
    }

    #[test]
    fn a_target_has_a_scheme_and_a_path_is_for_every_request() {
        let read = |typed: &str| target(typed).map(|target| (target.url, target.path, target.limit));
        assert_eq!(read("https://app|5%"), Ok(("https://app".into(), None, Some(Limit::Percent(5)))));
        assert_eq!(read("http://h:81/a?b=1"), Ok(("http://h:81".into(), Some("/a?b=1".into()), None)));
        assert_eq!(read("http://[::1]:81/"), Ok(("http://[::1]:81".into(), Some("/".into()), None)));
        for typed in ["staging.com", "localhost:80", "127.0.0.1:80"] {
            assert!(read(typed).unwrap_err().contains(&format!("write http://{typed}")), "{typed}");
        }
        assert!(read("http://u:p@h").unwrap_err().contains("chain file"));
    }

    #[test]
    fn the_wait_for_a_response_is_that_of_goreplay() {
        let flags = |typed: &[&str]| {
            let (words, mut mistakes) = words(typed);
            let targets = targets(&words, &mut mistakes, &mut Vec::new());
            (sending(&words, &targets, &mut mistakes).join(" "), mistakes.to_string())
        };
        let (found, mistakes) = flags(&[
            "--output-http",
            "https://h",
            "--output-http-skip-verify",
            "--http-original-host",
            "--output-http-workers",
            "10",
            "--recognize-tcp-sessions",
        ]);
        assert_eq!(mistakes, "");
        assert_eq!(
            found,
            "--allow-writes --timeout 5s --max-time 5s --max-in-flight 10 --insecure --keep-host --connections mirrored"
        );
        assert_eq!(flags(&["--output-http-timeout", "50ms"]).0, "--allow-writes --timeout 1s --max-time 1s");
        assert_eq!(flags(&["--output-http-timeout", "200ms"]).0, "--allow-writes --timeout 200ms --max-time 200ms");
    }
}
