//! The shape of the source: no two files in a circle, but a folder's `mod.rs` and what it is made of; and what the library
//! brings along.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics says what is wrong")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use regex::Regex;

/// A module's path within the crate; the root has none.
type Module = Vec<String>;

/// The library without comments, text and unit tests.
struct Source {
    files: BTreeMap<Module, String>,
    /// What each module calls things that it imports.
    imports: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Source {
    fn read() -> Self {
        let mut files = BTreeMap::new();
        read(Path::new(env!("CARGO_MANIFEST_DIR")).join("src").as_path(), &Vec::new(), &mut files);
        let imports = files.iter().map(|(module, text)| (module.clone(), imports(text))).collect();
        Self { files, imports }
    }

    /// The modules that a file uses, but its parent and its children.
    fn uses(&self, module: &Module) -> BTreeSet<Module> {
        static PATH: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b(?:crate|super|self)(?:::\w+)+").unwrap());
        let inline =
            PATH.find_iter(&self.files[module]).map(|found| found.as_str().split("::").map(str::to_owned).collect());
        let all = self.imports[module].values().cloned().chain(inline);
        let found = all.filter_map(|path: Vec<String>| self.defined_in(module, &path));
        found.filter(|other| other != module && !is_parent(other, module) && !is_parent(module, other)).collect()
    }

    /// The module that defines what stands at `path`, as `module` writes it; through what others hand on.
    fn defined_in(&self, module: &Module, path: &[String]) -> Option<Module> {
        let (mut at, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (module.clone(), &path[1..]),
            "super" => {
                let up = path.iter().take_while(|part| *part == "super").count();
                (module[..module.len().checked_sub(up)?].to_vec(), &path[up..])
            }
            first => {
                self.files.get(&child(module, first))?;
                (module.clone(), path)
            }
        };
        while let Some(first) = rest.first().filter(|first| self.files.contains_key(&child(&at, first))) {
            at = child(&at, first);
            rest = &rest[1..];
        }
        let handed_on = rest.first().and_then(|name| self.imports[&at].get(name));
        handed_on.and_then(|path| self.defined_in(&at, &[path, &rest[1..]].concat())).or(Some(at))
    }
}

fn child(module: &[String], name: &str) -> Module {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

fn is_parent(module: &Module, of: &Module) -> bool {
    of.split_last().is_some_and(|(_, folder)| folder == module)
}

fn read(folder: &Path, module: &Module, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        match name.strip_suffix(".rs") {
            None if path.is_dir() && name != "bin" => read(&path, &child(module, &name), files),
            Some("mod" | "lib") => drop(files.insert(module.clone(), without_tests(&path))),
            Some("tests" | "testing") | None => {}
            Some(name) => drop(files.insert(child(module, name), without_tests(&path))),
        }
    }
}

/// A file's text without comments, string literals, and what comes with its unit tests.
fn without_tests(path: &Path) -> String {
    static NO_CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#"//.*|"(?:\\.|[^"\\])*""#).unwrap());
    let text = fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    NO_CODE.replace_all(code, "").into_owned()
}

/// What a file imports: the name that it has here, and its path.
fn imports(text: &str) -> BTreeMap<String, Vec<String>> {
    static USE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\buse\s+([^;]+);").unwrap());
    let mut found = BTreeMap::new();
    for tree in USE.captures_iter(text) {
        expand(&tree[1], &[], &mut found);
    }
    found
}

/// `a::{b, c as d}` is `b` at `a::b` and `d` at `a::c`.
fn expand(tree: &str, before: &[String], found: &mut BTreeMap<String, Vec<String>>) {
    let parts =
        |path: &str| path.split("::").map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    let with = |path: &str| [before, &Vec::from_iter::<Vec<String>>(parts(path))].concat();
    if let Some((path, list)) = tree.split_once('{') {
        let mut depth = 0;
        let is_between = |c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        };
        let list = list.trim_end().strip_suffix('}').unwrap_or(list);
        list.split(is_between).for_each(|part| expand(part, &with(path), found));
        return;
    }
    let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name.trim())));
    let mut path = with(path);
    path.pop_if(|last| last == "self");
    let Some(last) = path.last() else { return };
    found.insert(name.unwrap_or(last).to_owned(), path);
}

/// What can be reached from `from`.
fn reached(from: &Module, uses: &BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<Module> {
    let (mut reached, mut next) = (BTreeSet::new(), vec![from.clone()]);
    while let Some(module) = next.pop() {
        next.extend(uses[&module].iter().filter(|other| reached.insert((*other).clone())).cloned());
    }
    reached
}

#[test]
fn no_two_files_use_each_other_but_parent_and_child() {
    let source = Source::read();
    let uses: BTreeMap<_, _> = source.files.keys().map(|module| (module.clone(), source.uses(module))).collect();
    let reached: BTreeMap<_, _> = uses.keys().map(|module| (module, reached(module, &uses))).collect();
    let path = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    assert!(uses[&path("pipeline/reader")].contains(&path("report/collect/inputs")), "imports are not followed");
    let in_circle = |(module, used): (&Module, &BTreeSet<Module>)| {
        let back = used.iter().filter(|used| reached[used].contains(module)).map(|used| used.join("/"));
        back.map(|used| format!("{} -> {used}", module.join("/"))).collect::<Vec<_>>()
    };
    let circles: Vec<String> = uses.iter().flat_map(in_circle).collect();
    assert!(circles.is_empty(), "files that come back to themselves:\n{}", circles.join("\n"));
}

#[test]
fn a_library_user_gets_none_of_what_the_program_brings() {
    let brought = |more: &[&str]| {
        let tree = ["tree", "--edges=normal", "--prefix=none", "--offline", "--locked"];
        let mut cargo = Command::new(env!("CARGO"));
        let output = cargo.args(tree).args(more).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (program, library) = (brought(&[]), brought(&["--no-default-features"]));
    for name in ["clap", "indicatif", "tikv-jemallocator", "tracing-subscriber", "anyhow", "clap_mangen"] {
        assert!(program.contains(name) && !library.contains(name), "{name}");
    }
    assert!(library.contains("tokio"), "{library:?}");
}
