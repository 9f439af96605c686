//! Labels of targets: the name that the user gave, else host and port.

use std::collections::BTreeMap;

use crate::report::{Snapshot, authority};

/// Returns the snapshot with each target under its label instead of its URL.
pub(super) fn by_label(snapshot: &Snapshot) -> Snapshot {
    let mut seen = snapshot.clone();
    let urls = || snapshot.summary.targets.keys().chain(snapshot.targets.keys()).chain(snapshot.live.targets.keys());
    let mut labels = BTreeMap::<&str, &str>::new();
    for url in urls() {
        labels.insert(url, label(snapshot, url));
    }
    // Two targets behind one host and port keep their URLs.
    let own = |url: &str| -> String {
        let Some(label) = labels.get(url) else { return url.to_owned() };
        let is_alone = labels.values().filter(|other| *other == label).count() == 1;
        if is_alone { (*label).to_owned() } else { url.to_owned() }
    };
    seen.summary.targets = renamed(seen.summary.targets, own);
    seen.targets = renamed(seen.targets, own);
    seen.live.targets = renamed(seen.live.targets, own);
    for (url, _) in seen.routes.iter_mut().flat_map(|route| &mut route.targets) {
        *url = own(url);
    }
    seen
}

fn renamed<T>(targets: BTreeMap<String, T>, own: impl Fn(&str) -> String) -> BTreeMap<String, T> {
    targets.into_iter().map(|(url, target)| (own(&url), target)).collect()
}

fn label<'a>(snapshot: &'a Snapshot, url: &'a str) -> &'a str {
    snapshot.names.get(url).map_or_else(|| authority(url).unwrap_or(url), String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::collect::buckets::LiveTargetBuckets;
    use crate::report::schema::target::TargetSummary;

    #[track_caller]
    fn check(targets: &[(&str, Option<&str>)], expected: &[&str]) {
        let mut seen = Snapshot::default();
        for (url, name) in targets {
            seen.summary.targets.insert((*url).to_owned(), TargetSummary::default());
            seen.targets.insert((*url).to_owned(), LiveTargetBuckets::default());
            seen.names.extend(name.map(|name| ((*url).to_owned(), name.to_owned())));
        }
        let labeled = by_label(&seen);
        assert_eq!(labeled.summary.targets.keys().collect::<Vec<_>>(), expected);
        assert!(labeled.targets.keys().eq(expected.iter()), "{:?}", labeled.targets.keys());
    }

    #[test]
    fn a_target_goes_by_its_name_else_by_its_host_and_port() {
        check(&[("http://a:8080/", Some("new")), ("https://b/v2", None)], &["b", "new"]);
        check(&[("http://a:80/v1", None), ("http://a:80/v2", None)], &["http://a:80/v1", "http://a:80/v2"]);
        check(&[("http://a/", Some("b")), ("http://b/", None)], &["http://a/", "http://b/"]);
        check(&[("unix:/run/app.sock", None)], &["unix:/run/app.sock"]);
        check(&[("http://a:80 via 10.0.0.7:81", None)], &["a:80"]);
    }
}
