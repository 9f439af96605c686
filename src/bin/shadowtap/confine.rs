//! What a run needs is gathered from what it was asked for, and everything else is given up.

use std::path::{Path, PathBuf};

use shadowtap::config::{Output, Outputs, Protection};
use shadowtap::middleware::external;
use shadowtap::recording::Recorder;
use shadowtap::replay::{self, ReferenceSettings};
use shadowtap::sandbox::{self, Needs};
use shadowtap::serve::control::Socket;
use shadowtap::{capture, middleware};

use crate::output::print_line;

/// Largest chain file that is looked through for the names of others.
const MAX_CHAIN_FILE: u64 = 4 << 20;

/// What a run uses.
pub(crate) struct Uses<'a> {
    pub(crate) capture: &'a capture::Settings,
    pub(crate) middleware: &'a middleware::ChainSettings,
    pub(crate) external: Option<&'a external::ExternalSettings>,
    pub(crate) targets: &'a [replay::SendSettings],
    pub(crate) beside: &'a ReferenceSettings,
    pub(crate) sparing: &'a Protection,
    pub(crate) outputs: &'a Outputs,
    pub(crate) recorder: Option<&'a Recorder>,
    pub(crate) socket: Option<&'a Socket>,
    /// Whether a run that root started goes on as root.
    pub(crate) keeps_root: bool,
}

/// Gives up what the run does not use, and tells what is limited; with `no_sandbox` only its memory is hidden. To be called
/// while there is one thread.
pub(crate) fn enter(uses: &Uses<'_>, no_sandbox: bool) -> anyhow::Result<()> {
    sandbox::hide_memory();
    if no_sandbox {
        print_line("sandbox: none (--no-sandbox)");
        return Ok(());
    }
    print_line(&sandbox::enter(&uses.needs())?.to_string());
    Ok(())
}

impl Uses<'_> {
    fn needs(&self) -> Needs {
        let everybody = || self.targets.iter().chain(&self.beside.baseline);
        let trust = everybody().map(|target| &target.trust);
        let shown = trust.flat_map(|trust| [&trust.ca, &trust.cert, &trust.key]).flatten();
        let commands = self.external.map(|external| &external.command).into_iter();
        let commands = commands.chain(self.sparing.brake.as_ref().map(|brake| &brake.command));
        Needs {
            reads: self.capture.files.iter().chain(shown).cloned().collect(),
            rereads: self.rereads(),
            writes: self.writes(),
            programs: commands
                .map(|command| [std::slice::from_ref(&command.program), command.arguments.as_slice()].concat())
                .collect(),
            ports: everybody().flat_map(ports).collect(),
            keeps_root: self.keeps_root,
        }
    }

    fn writes(&self) -> Vec<PathBuf> {
        let outputs = [&self.outputs.summary, &self.outputs.results, &self.outputs.report];
        let files = outputs.into_iter().flatten().filter_map(|output| match output {
            Output::File(path) => Some(path.clone()),
            Output::Stdout => None,
        });
        let recording = self.recorder.map(|recorder| folder_of_pattern(&recorder.target().to_string()));
        files.chain(recording).chain(self.socket.map(|socket| socket.path().to_owned())).collect()
    }

    /// Chain files, and the files that they name.
    fn rereads(&self) -> Vec<PathBuf> {
        let for_targets = self.middleware.for_targets.iter().map(|(_, file)| file);
        let chains = self.middleware.files.iter().chain(for_targets);
        chains.flat_map(|file| named_in(&file.path).into_iter().chain([file.path.clone()])).collect()
    }
}

fn ports(target: &replay::SendSettings) -> impl Iterator<Item = u16> {
    target.target.0.port_or_known_default().into_iter().chain(target.proxy.as_ref().map(replay::ProxyUrl::port))
}

/// A file in the folder whose name does not change with time.
fn folder_of_pattern(name: &str) -> PathBuf {
    let fixed = name.split('%').next().unwrap_or_default();
    if fixed.len() == name.len() { PathBuf::from(name) } else { PathBuf::from(format!("{fixed}x")) }
}

/// Files that a chain file may name: of all its strings, those under which there is one.
fn named_in(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let is_small = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= MAX_CHAIN_FILE);
    let text = if is_small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
    let words = text.split(['"', '\'', '\n']).map(|word| word.trim().strip_prefix("file:").unwrap_or(word.trim()));
    let files = words.filter(|word| !word.is_empty() && !word.contains('\0')).map(|word| folder.join(word));
    files.filter(|file| file.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_a_chain_names_are_found_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let chain = folder.path().join("chain.toml");
        for name in ["routes.map", "token"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let text = "[[link]]\nroute = { map = \"routes.map\" }\nset = 'file:token'\ndrop = { path = \"^/x\" }\n";
        std::fs::write(&chain, text).unwrap();
        assert_eq!(named_in(&chain), [folder.path().join("routes.map"), folder.path().join("token")]);
        assert!(named_in("/dev/zero".as_ref()).is_empty());
    }

    #[test]
    fn the_folder_of_a_pattern_is_the_last_that_has_no_field() {
        assert_eq!(folder_of_pattern("a/b.gor"), Path::new("a/b.gor"));
        assert_eq!(folder_of_pattern("/data/%Y-%m-%d/%H.gor").parent(), Some(Path::new("/data")));
        assert_eq!(folder_of_pattern("/data/tap-%H.gor").parent(), Some(Path::new("/data")));
    }
}
