use super::*;

fn read(text: &str) -> Result<ChainFile, Vec<String>> {
    let told = |mistakes: Vec<ChainMistake>| mistakes.iter().map(ToString::to_string).collect();
    ChainFile::parse(text, Path::new("f.toml"), &Environment::for_checks()).map_err(told)
}

/// Every case of the text passes.
fn check(text: &str) {
    let file = read(text).unwrap_or_else(|mistakes| panic!("{}\n{text}", mistakes.join("\n")));
    assert!(!file.cases.is_empty(), "no case in\n{text}");
    let failures = file.run_cases();
    assert!(failures.is_empty(), "{failures:#?}\n{text}");
}

/// The only mistake of the text.
fn mistake(text: &str) -> String {
    let mistakes = read(text).map(|_| ()).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:#?}\n{text}");
    mistakes.into_iter().next().unwrap()
}

#[test]
fn an_empty_file_is_a_chain_that_does_nothing() {
    assert!(read("# nothing\n").unwrap().links.is_empty());
}

#[test]
fn every_mistake_of_a_file_is_told_at_once_with_line_and_column() {
    let text = r#"
[[link]]
set-hedaer = 1
[[link]]
only = { pth = "^/v2/" }
[[link]]
name = "two words"
set-header = { "X Y" = "1", X-Ip = "{client_ip}" }
[[link]]
sample = { share = "150%", by = "session" }
[[link]]
drop = { path = ["^/a(", "^/b"] }
[[tset]]
"#;
    let mistakes = read(text).map(|_| ()).unwrap_err();
    let begins = [
        "f.toml:3:1: `set-hedaer` means nothing in a link; did you mean `set-header`?",
        "f.toml:5:10: `pth` means nothing in a condition; did you mean `path`?",
        "f.toml:7:8: `two words` is no name for a rule",
        "f.toml:8:16: `X Y` cannot be a header name",
        "f.toml:8:36: `{client_ip}` names nothing that a request has; did you mean `{client.ip}`?",
        "f.toml:10:20: `150%`: a share lies between",
        "f.toml:10:33: `session` is no sample key",
        "f.toml:12:18: `^/a(` is no regular expression: unclosed group",
        "f.toml:13:3: `tset` means nothing at the top of a chain file; did you mean `test`?",
    ];
    assert_eq!(mistakes.len(), begins.len(), "{mistakes:#?}");
    for (mistake, begin) in mistakes.iter().zip(begins) {
        assert!(mistake.starts_with(begin), "{mistake}\nis not\n{begin}");
    }
}

#[test]
fn broken_toml_is_told_with_its_place() {
    let told = mistake("[[link]]\nonly = { path = \"^/v2/ }\n");
    assert!(told.starts_with("f.toml:2:"), "{told}");
}

#[test]
fn a_link_does_one_thing() {
    let told = mistake("[[link]]\nonly = { method = \"GET\" }\nset-host = \"h\"\n");
    assert!(told.starts_with("f.toml:3:1: a link does one thing: `only` and `set-host` are two"), "{told}");
    let told = mistake("[[link]]\nname = \"nothing\"\n");
    assert!(told.starts_with("f.toml:1:1: a link does one thing, and this one does nothing"), "{told}");
}

#[test]
fn what_is_missing_or_contradicts_is_told_with_how_to_write_it() {
    for (link, told) in [
        ("sample = { by = \"client-ip\" }", "a sample needs a share"),
        ("sample = { share = \"5%\", missing = \"in\" }", "`missing` needs `by`"),
        (
            "sample = { share = \"5%\", by = \"client-ip\", missing = \"yes\" }",
            "write request (each by itself), in or out",
        ),
        ("limit = { burst = \"2s\" }", "a limit needs requests or bytes"),
        ("limit = \"500\"", "such as 500/s"),
        ("limit = { requests = \"5/s\", burst = \"0s\" }", "write 500ms, 2s or 1m"),
        ("basic-auth = { user = \"a\", password = \"b\" }", "a secret does not stand in a chain file"),
        ("basic-auth = { password-env = \"A\" }", "basic-auth needs a user"),
        ("bearer = {}", "say where the token is: token-env"),
        ("bearer = { token-env = \"A\", token-file = \"b\" }", "contradict each other"),
        ("redact = { header = \"A\" }", "say how"),
        ("redact = { how = \"mask\" }", "say what is redacted"),
        ("redact = { header = \"A\", how = \"mask\", key-env = \"K\" }", "a key is for pseudonyms only"),
        ("redact = { json = \"a\", how = \"mask\" }", "it begins with $"),
        ("only = { route = \"v2\" }", "`v2`: a path begins with /; write a path, such as /v2/users/{id}"),
        ("redact = { json = \"..\", how = \"mask\" }", "one key after the dots"),
        ("redact = { json = \"/a\", how = \"mask\", on-unknown = \"pass\" }", "write drop-body, drop or keep"),
        ("allow-writes = false", "writes are kept back anyway"),
        ("replace-path = { match = \"^/a\", with = \"/b?c\" }", "a path has no question mark"),
        ("replace-path = { match = \"^/(a)\", with = \"/$1b\" }", "names no group"),
        ("replace-path = { match = \"^/a\" }", "a replacement has two keys"),
        ("set-header = { Content-Length = \"1\" }", "says where the body ends"),
        ("set-header = {}", "an empty table does nothing"),
        ("remove-header = []", "an empty list"),
        ("set-cookie = { a = \"1; b=2\" }", "encode it"),
        ("add-cookie = { a = \"1\" }", "`add-cookie` means nothing in a link"),
        ("only = {}", "an empty condition holds for everything"),
        ("only = { method = \"get\" }", "most are in capitals: `GET`"),
        ("only = { client = \"10.0.0.0/33\" }", "`10.0.0.0/33` is no network"),
        ("only = { host = \"http://a/\" }", "write it without scheme"),
        ("only = { body-over = \"1X\" }", "is no size"),
        ("only = { content-type = \"json\" }", "is no media type"),
        ("only = { any = {} }", "a list of conditions"),
        ("only = { param = { \"\" = true } }", "an empty name"),
        ("only = \"^/a\"", "a table is wanted here"),
        ("route = { map = \"no.map\" }", "no.map: cannot be read"),
        ("route = { on = \"path\" }", "a route needs a map"),
    ] {
        let text = format!("[[link]]\n{link}\n");
        let mistakes = read(&text).map(|_| ()).unwrap_err();
        assert!(mistakes.iter().any(|mistake| mistake.contains(told)), "{link}: {mistakes:#?}");
    }
}

#[test]
fn mistakes_in_tests_are_told() {
    for (test, told) in [
        ("outcome = \"passes\"", "a test needs a request"),
        ("request = \"GET\"", "begins with a method and a target"),
        ("request = \"GET /\"\noutcome = \"dropped\"", "a request passes, or ends as"),
        ("request = \"GET /\"\noutcome = \"sampled_out\"\nbecomes = \"GET /\"", "what is kept back becomes nothing"),
        ("request = \"GET /\"\ntimes = 0", "write a number from 1"),
        ("request = \"GET /\"\nexpect = 1", "`expect` means nothing in a test"),
    ] {
        let told_of = mistake(&format!("[[test]]\n{test}\n"));
        assert!(told_of.contains(told), "{told_of}");
    }
}

#[test]
fn a_map_with_mistakes_is_told_with_its_own_lines() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("routes.map"), "^/a new\n^/(?!b) old\n").unwrap();
    let text = "[[link]]\nroute = { map = \"routes.map\" }\n";
    let path = folder.path().join("chain.toml");
    let mistakes = ChainFile::parse(text, &path, &Environment::for_checks()).unwrap_err();
    let told = mistakes[0].to_string();
    assert!(told.contains("routes.map:2: `^/(?!b)` needs PCRE (look-ahead)"), "{told}");
}

#[test]
fn a_case_that_does_not_hold_is_told_with_what_was_found() {
    for (case, told) in [
        ("outcome = \"filtered: x\"", "expected \"filtered: x\", found \"passes\""),
        ("becomes = \"GET /b\\nHost: h\"", "expected `GET /b HTTP/1.1`, found `GET /a HTTP/1.1`"),
        ("becomes = \"GET /a\"", "expected ``, found `Host: h`"),
        ("then = { header = { X = true } }", "does not hold for\n    GET /a HTTP/1.1\n    Host: h"),
        ("route = \"new\"", "expected route \"new\", found \"none\""),
    ] {
        let failures = read(&format!("[[test]]\nrequest = \"GET /a\\nHost: h\"\n{case}\n")).unwrap().run_cases();
        assert!(failures[0].at.message.contains(told), "{case}: {failures:#?}");
        assert_eq!((failures[0].at.line, failures[0].name.as_str()), (1, "GET /a"));
    }
}

#[test]
fn conditions_ask_for_every_part_of_a_request() {
    let head = "POST /v2/a?user=J%C3%BCrg+M&x HTTP/1.1\\nHost: www.TV.example:8080\\nCookie: a=1; sid=abc\\nX-Kind: One\\nX-Kind: Two\\nContent-Type: application/JSON; charset=utf-8\\n\\n{\\\"a\\\":1}";
    let yes = [
        "method = [\"GET\", \"POST\"]",
        "path = \"^/v2/\"",
        "path = [\"^/v1/\", \"user=\"]",
        "host = \"www.tv.example\"",
        "host = \"*.tv.example\"",
        "client = \"10.1.0.0/16\"",
        "client = [\"::1\", \"10.1.2.3\"]",
        "header = { x-kind = \"^Two$\" }",
        "header = { X-Kind = true, X-None = false }",
        "cookie = { sid = \"^a.c$\", b = false }",
        "param = { user = \"^Jürg M$\", x = true }",
        "content-type = \"application/json\"",
        "content-type = [\"text/plain\", \"application/*\"]",
        "body = '\"a\":1'",
        "body-over = 6",
        "body-under = \"1K\"",
        "all = [{ method = \"POST\" }, { path = \"v2\" }]",
        "any = [{ method = \"GET\" }, { path = \"v2\" }]",
        "not = { method = \"GET\" }",
        "method = \"POST\", path = \"v2\"",
    ];
    let no = [
        "method = \"PUT\"",
        "path = \"^/v1/\"",
        "path = [\"^/v1/\", \"^/v3/\"]",
        "host = \"tv.example\"",
        "host = \"*.www.tv.example\"",
        "client = \"10.2.0.0/16\"",
        "header = { X-Kind = \"^Three$\" }",
        "header = { X-Kind = false }",
        "header = { X-None = true }",
        "header = { X-None = \"\" }",
        "cookie = { SID = true }",
        "cookie = { sid = \"^ab$\" }",
        "param = { user = \"%C3\" }",
        "param = { y = true }",
        "content-type = [\"text/*\", \"application/xml\"]",
        "body = \"b\"",
        "body-over = 7",
        "body-under = 7",
        "all = [{ method = \"POST\" }, { path = \"v1\" }]",
        "any = [{ method = \"GET\" }, { path = \"v1\" }]",
        "not = { method = \"POST\" }",
        "method = \"POST\", path = \"v1\"",
    ];
    let file = |condition: &str, outcome: &str| {
        format!(
            "[[link]]\nallow-writes = true\n[[link]]\nname = \"no\"\nonly = {{ {condition} }}\n\
             [[test]]\nclient = \"10.1.2.3\"\nrequest = \"{head}\"\noutcome = \"{outcome}\"\n"
        )
    };
    for condition in yes {
        check(&file(condition, "passes"));
    }
    for condition in no {
        check(&file(condition, "filtered: no"));
    }
}

#[test]
fn a_link_sees_what_its_condition_lets_it_see() {
    check(
        r#"
[[link]]
set-header = { X-New = "yes" }
when = { path = "^/v2/" }

[[test]]
request = "GET /v2/a"
then = { header = { X-New = "^yes$" } }

[[test]]
request = "GET /v1/a"
becomes = "GET /v1/a"
"#,
    );
}

#[test]
fn fields_are_set_added_removed_renamed_and_replaced_where_they_stand() {
    let rows = [
        ("set-header = { X-A = \"9\", New = \"{id}\" }", "GET /\nX-A: 9\nB: 2\nNew: 1.1"),
        ("add-header = { X-A = \"9\" }", "GET /\nX-A: 1\nB: 2\nx-a: 3\nX-A: 9"),
        ("remove-header = \"X-A\"", "GET /\nB: 2"),
        ("rename-header = { X-A = \"X-Old\" }", "GET /\nX-Old: 1\nB: 2\nX-Old: 3"),
        ("replace-header = { X-A = { match = \"[0-9]\", with = \"<$0>\" } }", "GET /\nX-A: <1>\nB: 2\nx-a: <3>"),
        (
            "replace-header = { X-A = { match = \"$\", with = \", {client.ip}\" } }",
            "GET /\nX-A: 1, 192.0.2.1\nB: 2\nx-a: 3, 192.0.2.1",
        ),
    ];
    for (link, becomes) in rows {
        check(&format!(
            "[[link]]\n{link}\n[[test]]\nrequest = \"GET /\\nX-A: 1\\nB: 2\\nx-a: 3\"\nbecomes = '''\n{becomes}'''\n"
        ));
    }
    let rows = [
        ("set-cookie = { b = \"9\" }", "a=1;b=9; c=3; b=9"),
        ("set-cookie = { d = \"9\" }", "a=1;b=2; c=3; b=4; d=9"),
        ("remove-cookie = [\"b\", \"a\"]", "c=3"),
        ("rename-cookie = { b = \"B\" }", "a=1;B=2; c=3; B=4"),
        ("replace-cookie = { b = { match = \"^\", with = \"x;y\" } }", "a=1;b=xy2; c=3; b=xy4"),
    ];
    for (link, becomes) in rows {
        check(&format!(
            "[[link]]\n{link}\n[[test]]\nrequest = \"GET /\\nCookie: a=1;b=2; c=3; b=4\"\nbecomes = \"GET /\\nCookie: {becomes}\"\n"
        ));
    }
    let rows = [
        ("set-param = { b = \"ä &\" }", "/p?a=1&b=%C3%A4+%26&c&b=%C3%A4+%26"),
        ("set-param = { d = \"9\" }", "/p?a=1&b=2%20x&c&b=4&d=9"),
        ("add-param = { b = \"5\" }", "/p?a=1&b=2%20x&c&b=4&b=5"),
        ("remove-param = [\"b\", \"c\"]", "/p?a=1"),
        ("remove-param = [\"a\", \"b\", \"c\"]", "/p"),
        ("rename-param = { b = \"é\", c = \"d\" }", "/p?a=1&%C3%A9=2%20x&d&%C3%A9=4"),
        ("replace-param = { b = { match = \"(.) x\", with = \"${1}y\" } }", "/p?a=1&b=2y&c&b=4"),
    ];
    for (link, becomes) in rows {
        check(&format!(
            "[[link]]\n{link}\n[[test]]\nrequest = \"GET /p?a=1&b=2%20x&c&b=4\"\nbecomes = \"GET {becomes}\"\n"
        ));
    }
    // A byte stays a byte, be it text of UTF-8 or not.
    check(
        "[[link]]\nreplace-param = { q = { match = \"b$\", with = \"c\" } }\n[[test]]\nrequest = \"GET /p?q=%E9+%2Bb&r=%e9\"\n\
         becomes = \"GET /p?q=%E9+%2Bc&r=%e9\"\n",
    );
    check(
        "[[link]]\nreplace-path = { match = \"^/a\", with = \"/é\" }\n[[test]]\nrequest = \"GET /a/%E9?q=%E9\"\n\
         becomes = \"GET /%C3%A9/%E9?q=%E9\"\n",
    );
}

#[test]
fn a_parameter_is_added_where_parameters_may_stand() {
    for (before, after) in [
        ("GET /p", "GET /p?b=1"),
        ("OPTIONS *", "OPTIONS *"),
        ("GET /p#b?x", "GET /p?b=1#b?x"),
        ("GET /p?a=2#b", "GET /p?a=2&b=1#b"),
        ("GET /p?b=2&a=3#b=4", "GET /p?b=1&a=3#b=4"),
        ("GET /p?a=3&b=2#?b=4", "GET /p?a=3&b=1#?b=4"),
        ("GET http://h?#", "GET http://h?b=1#"),
    ] {
        check(&format!(
            "[[link]]\nset-param = {{ b = \"1\" }}\n[[test]]\nrequest = \"{before}\"\nbecomes = \"{after}\"\n"
        ));
    }
}

#[test]
fn bodies_and_json_are_rewritten_with_their_length() {
    check(
        r#"
[[link]]
allow-writes = { path = "^/a" }
[[link]]
set-json = { "/user/name" = "nobody", "/n" = 7, "/list" = [1.5, true] }
[[link]]
remove-json = ["/user/mail", "/none"]
[[link]]
replace-body = { match = "secret-(\\w+)", with = "$1-{run}" }

[[test]]
request = """
POST /a
Content-Type: application/json

{"user":{"name":"x","mail":"y"},"t":"secret-a"}
"""
becomes = """
POST /a
Content-Type: application/json
Content-Length: 62

{"user":{"name":"nobody"},"t":"a-run","n":7,"list":[1.5,true]}
"""

[[test]]
request = "POST /b\n\nx"
outcome = "filtered: writes"
"#,
    );
}

#[test]
fn credentials_come_from_where_they_are_and_never_from_the_file() {
    check(
        "[[link]]\nbasic-auth = { user = \"shadow\", password-env = \"PASSWORD\" }\n\
         [[test]]\nrequest = \"GET /\\nAuthorization: old\"\nbecomes = \"GET /\\nAuthorization: Basic c2hhZG93OmVudjpQQVNTV09SRA==\"\n",
    );
    check(
        "[[link]]\nbearer = { token-file = \"token\" }\n\
         [[test]]\nrequest = \"GET /\"\nbecomes = \"GET /\\nAuthorization: Bearer file:token\"\n",
    );
}

#[test]
fn writes_end_before_they_take_part_in_a_sample_or_a_limit() {
    check(
        r#"
[[link]]
drop = { path = "^/b" }
[[link]]
limit = { requests = "1/s", burst = "1s" }
[[link]]
allow-writes = { path = "^/w" }

[[test]]
request = "POST /a"
times = 3
outcome = "filtered: writes"

[[test]]
request = "POST /b"
outcome = "filtered: drop"

[[test]]
request = "POST /w"

[[test]]
request = "POST /w"
times = 2
outcome = "rate_limited"
"#,
    );
}

#[test]
fn a_route_ends_what_belongs_to_nobody_and_names_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("routes.map"), "^/v2/pay -\n^/v2/ new\n").unwrap();
    let text = r#"
[[link]]
route = { map = "routes.map" }
[[test]]
request = "GET /v2/a"
route = "new"
[[test]]
request = "GET /v2/pay"
outcome = "filtered: route"
[[test]]
request = "GET /v1"
outcome = "filtered: route"
"#;
    let file = ChainFile::parse(text, &folder.path().join("c.toml"), &Environment::for_checks()).unwrap();
    assert_eq!(file.run_cases(), []);
}

#[test]
fn nothing_that_can_be_typed_panics() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/middleware/file/tests.rs")).unwrap();
    let sample: String = text
        .lines()
        .filter(|line| line.contains('=') || line.starts_with("[["))
        .take(80)
        .collect::<Vec<_>>()
        .join("\n");
    for end in sample.char_indices().map(|(at, _)| at).step_by(7) {
        read(sample.split_at(end).0).map(drop).ok();
    }
}

#[test]
fn carry_links_have_names_of_their_own_and_are_not_too_many() {
    let link = |name: usize| format!("[[link]]\ncarry = \"n{name}\"\nfrom = {{ set-cookie = \"sid\" }}\n");
    let two = format!("{}{}", link(1), link(1));
    assert_eq!(mistake(&two), "f.toml:4:1: two carry links are called `n1`: the report could not tell them apart");
    let many = |count: usize| (0..count).map(link).collect::<String>();
    assert!(read(&many(64)).is_ok());
    assert_eq!(mistake(&many(65)), "f.toml:193:1: there are 65 carry links; 64 are possible");
}

#[test]
fn every_mistake_of_a_carry_link_is_told() {
    let text = "[[link]]\ncarry = \"a\"\nfrom = { set-cookie = \"a b\" }\ninto = { coookie = \"a\" }\nuntil-known = \"wait\"\n\
                login = \"x 'y\"\n[[link]]\ncarry = \"b\"\nmint = { jwt = { key = \"hush\", alg = \"HS512\", exp = \"1h\" } }\n\
                seed = \"s\"\n[[link]]\ncarry = \"c\"\nlogin = \"x\"\n";
    let told = read(text).map(|_| ()).unwrap_err();
    let begins = [
        "f.toml:3:23: `a b` cannot be",
        "f.toml:4:8: each entry of `into` names one place",
        "f.toml:4:10: `coookie` means nothing in `into`; did you mean `cookie`?",
        "f.toml:5:15: `wait` is nothing",
        "f.toml:6:9: `x 'y` has a quote that does not end",
        "f.toml:8:9: say where the value stands, such as into",
        "f.toml:9:24: a key does not stand in a chain file",
        "f.toml:9:38: `HS512` is not how a token is signed here; write one of HS256, RS256, ES256",
        "f.toml:9:53: `1h` is not how long a token is good for; write +1h",
        "f.toml:10:8: a value that is made here is known at once",
        "f.toml:12:9: say where the value stands",
    ];
    assert_eq!(told.len(), begins.len(), "{told:#?}");
    for (told, begin) in told.iter().zip(begins) {
        assert!(told.starts_with(begin), "{told}\n{begin}");
    }
    assert!(!told.concat().contains("hush"));
}
