//! Confinement of a run: collects what the run needs from its settings, and gives up everything else.

use std::path::{Path, PathBuf};

use shadowtap::config::{Output, Outputs, RunConfig};
use shadowtap::pipeline::{Feed, Run};
use shadowtap::recording::RecordingOutput;
use shadowtap::replay::guard::Dependency;
use shadowtap::sandbox::{self, Needs};
use shadowtap::serve::control::Socket;
use shadowtap::telemetry::Endpoint;
use shadowtap::{middleware, replay};

use crate::output::print_news;

/// Largest chain file that is looked through for the names of others.
const MAX_CHAIN_FILE: u64 = 4 << 20;

/// Gives up what the run does not use, and prints the limits. `file` is its configuration, which is read again. With `no_sandbox`, only hides the memory of the process.
/// Must be called while there is one thread.
pub(crate) fn enter(
    config: &RunConfig,
    file: Option<&Path>,
    socket: Option<&Socket>,
    no_sandbox: bool,
) -> anyhow::Result<()> {
    sandbox::hide_memory();
    if no_sandbox {
        print_news("sandbox: none (--no-sandbox)");
        return Ok(());
    }
    print_news(&sandbox::enter(&needs(config, file, socket))?.to_string());
    Ok(())
}

fn needs(config: &RunConfig, file: Option<&Path>, socket: Option<&Socket>) -> Needs {
    let run = &config.run;
    let everybody = || run.targets.iter().chain(&run.reference.baseline);
    let trust = everybody().map(|target| &target.trust);
    let shown = trust.flat_map(|trust| [&trust.ca, &trust.cert, &trust.key]).flatten();
    let commands = run.external.as_ref().map(|external| &external.command).into_iter();
    let commands = commands.chain(run.guard_command.as_ref().map(|guard| &guard.command));
    let commands = commands.chain(run.middleware.programs());
    Needs {
        reads: run.capture.files.iter().chain(shown).chain(&config.stores.reads).cloned().collect(),
        rereads: rereads(&run.middleware).into_iter().chain(file.map(Path::to_owned)).collect(),
        writes: writes(&config.outputs, run.recorder.as_deref(), socket)
            .into_iter()
            .chain(config.stores.writes.iter().cloned())
            .collect(),
        programs: commands
            .map(|command| [std::slice::from_ref(&command.program), command.arguments.as_slice()].concat())
            .collect(),
        ports: everybody()
            .flat_map(ports)
            .chain(config.stores.ports.iter().copied())
            .chain(telemetry_ports(run))
            .chain(run.dependencies.iter().map(Dependency::port))
            .collect(),
        // A replay that root started goes on as root: it may read files that only root can.
        keeps_root: matches!(run.feed, Feed::Files(_)),
    }
}

fn writes(outputs: &Outputs, recorder: Option<&dyn RecordingOutput>, socket: Option<&Socket>) -> Vec<PathBuf> {
    let outputs = [&outputs.summary, &outputs.results, &outputs.report, &outputs.junit];
    let files = outputs.into_iter().flatten().filter_map(|output| match output {
        Output::File(path) => Some(path.clone()),
        Output::Stdout => None,
    });
    let recording = recorder
        .filter(|recorder| !recorder.is_standard_output() && recorder.session().is_none())
        .map(|recorder| folder_of_pattern(&recorder.name()));
    files.chain(recording).chain(socket.map(|socket| socket.path().to_owned())).collect()
}

/// Chain files, and the files that they name.
fn rereads(middleware: &middleware::ChainSettings) -> Vec<PathBuf> {
    let for_targets = middleware.for_targets.iter().map(|(_, file)| file);
    let chains = middleware.files.iter().chain(for_targets);
    chains.flat_map(|file| named_in(&file.path).into_iter().chain([file.path.clone()])).collect()
}

fn ports(target: &replay::SendSettings) -> impl Iterator<Item = u16> {
    target.target.connect_to().port().into_iter().chain(target.proxy.as_ref().map(replay::ProxyUrl::port))
}

/// Ports of other systems that are told of the run.
fn telemetry_ports(run: &Run) -> impl Iterator<Item = u16> {
    [&run.telemetry.traces, &run.telemetry.webhook].into_iter().flatten().map(Endpoint::port)
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
