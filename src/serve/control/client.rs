//! The other end of the conversation: a word to a run, once it is known who would hear it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FileType;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::ControlCommand;
use super::location::{may_belong_to, remove_left_behind};
use super::socket::connect;
use crate::files::{Folder, is_open_to_others};

/// Longest response that is read, in bytes; a longer one is not from a run.
pub(crate) const MAX_ANSWER: usize = 64 << 10;
/// Longest conversation: a running run responds at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// Errors of sending a command to a run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Somebody else could have put it there.
    #[error("{} is not spoken to: it, or its folder, belongs to another user, or others may write to it", path.display())]
    NotOurs {
        /// The socket.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is no socket", path.display())]
    NoSocket {
        /// Path as given.
        path: PathBuf,
    },
    /// Another user listens at it.
    #[error("{} is not spoken to: user {peer} listens there, who is neither its owner nor root", path.display())]
    Peer {
        /// The socket.
        path: PathBuf,
        /// User id of the listener.
        peer: u32,
    },
    /// There is nothing.
    #[error("no run listens at {}: there is no such socket; `shadowtap control status` finds those that are there", path.display())]
    Nothing {
        /// Path as given.
        path: PathBuf,
    },
    /// The run is over.
    #[error("no run listens at {} any more{}", path.display(), if *removed { ": what was left of it is removed" } else { "" })]
    Over {
        /// The socket.
        path: PathBuf,
        /// True when it was removed.
        removed: bool,
    },
    /// It says more than a run does.
    #[error("{} answers with more than {MAX_ANSWER} bytes: that is no run of shadowtap", path.display())]
    TooLong {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused, or there was no response in time.
    #[error("cannot speak to the run at {}", path.display())]
    Speak {
        /// The socket.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
}

/// Says `word` to the run at `path`, and returns what it answers: text that nobody has judged yet.
///
/// # Errors
///
/// Where nobody listens there, it is not to be spoken to, or the answer is too long or late.
pub fn ask(path: &Path, word: ControlCommand) -> Result<String, AskError> {
    let speak = |source| AskError::Speak { path: path.to_owned(), source };
    let (stream, owner) = reach(path)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(speak)?;
    let answer = runtime.block_on(async {
        let stream = UnixStream::from_std(stream).map_err(speak)?;
        let peer = stream.peer_cred().map_err(speak)?.uid();
        if peer != owner && peer != 0 {
            return Err(AskError::Peer { path: path.to_owned(), peer });
        }
        timeout(PATIENCE, converse(stream, word))
            .await
            .map_err(|_| speak(io::ErrorKind::TimedOut.into()))?
            .map_err(speak)
    })?;
    if answer.len() > MAX_ANSWER {
        return Err(AskError::TooLong { path: path.to_owned() });
    }
    String::from_utf8(answer).map_err(|error| speak(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))
}

async fn converse(mut stream: UnixStream, word: ControlCommand) -> io::Result<Vec<u8>> {
    stream.write_all(format!("{word}\n").as_bytes()).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER as u64 + 1).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// A connection to a socket that only root, or who says something here, can have put there; and whose it is.
fn reach(path: &Path) -> Result<(std::os::unix::net::UnixStream, u32), AskError> {
    let speak = |source| AskError::Speak { path: path.to_owned(), source };
    let not_ours = || AskError::NotOurs { path: path.to_owned() };
    let nothing = || AskError::Nothing { path: path.to_owned() };
    let missing = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { nothing() } else { speak(error) };
    let (folder, name) = Folder::of(path, None).map_err(missing)?;
    let above = path.parent().unwrap_or(Path::new("."));
    let ours = |stat: &rustix::fs::Stat| !is_open_to_others(stat) && may_belong_to(above, stat.st_uid);
    let is_ours = ours(&folder.stat().map_err(speak)?);
    // Whose folder it is matters only where something is in it, as far as one may look.
    let stat = match folder.entry(name) {
        Ok(entry) => entry.ok_or_else(nothing)?,
        Err(_) if !is_ours => return Err(not_ours()),
        Err(error) => return Err(missing(error)),
    };
    if !is_ours {
        return Err(not_ours());
    }
    if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
        return Err(AskError::NoSocket { path: path.to_owned() });
    }
    if !ours(&stat) {
        return Err(not_ours());
    }
    match connect(&folder, name, path) {
        Ok(stream) => Ok((stream, stat.st_uid)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            let removed = remove_left_behind(&folder, name);
            Err(AskError::Over { path: path.to_owned(), removed })
        }
        Err(error) => Err(speak(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    /// Sends a command to a peer that responds with these bytes; returns the result.
    fn asked(answer: Vec<u8>) -> Result<String, AskError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let listener = listener(&path);
        let thread = thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            // Who has heard enough leaves.
            stream.write_all(&answer).ok();
            said
        });
        let answer = ask(&path, ControlCommand::Status);
        assert_eq!(thread.join().unwrap(), "status\n");
        answer
    }

    fn listener(path: &Path) -> UnixListener {
        let listener = UnixListener::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        listener
    }

    #[test]
    fn an_answer_is_text_of_a_bounded_length() {
        assert_eq!(asked(b"{}\n".to_vec()).unwrap(), "{}\n");
        assert_eq!(asked(vec![b' '; MAX_ANSWER]).unwrap().len(), MAX_ANSWER);
        assert!(matches!(asked(vec![b' '; MAX_ANSWER + 1]), Err(AskError::TooLong { .. })));
        assert!(matches!(asked(vec![b' '; 8 << 20]), Err(AskError::TooLong { .. })));
        assert!(matches!(asked(vec![0xff]), Err(AskError::Speak { .. })));
    }

    #[test]
    fn what_others_may_write_to_hears_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let listener = listener(&path);
        listener.set_nonblocking(true).unwrap();
        let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        for (of_folder, of_socket) in [(0o777, 0o600), (0o1777, 0o600), (0o720, 0o600), (0o700, 0o666), (0o700, 0o620)]
        {
            allow(folder.path(), of_folder);
            allow(&path, of_socket);
            let error = ask(&path, ControlCommand::Stop).unwrap_err();
            assert!(matches!(error, AskError::NotOurs { .. }), "{of_folder:o} {of_socket:o}: {error}");
        }
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock, "nobody came");
    }

    #[test]
    fn what_is_no_run_is_told_as_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.sock");
        let said = || ask(&path, ControlCommand::Stop).unwrap_err().to_string();
        for missing in [path.clone(), folder.path().join("0/99.sock"), Path::new("/tmp/no-such-run.sock").to_owned()] {
            let said = ask(&missing, ControlCommand::Stop).unwrap_err().to_string();
            assert!(said.starts_with(&format!("no run listens at {}: there is no", missing.display())), "{said}");
        }
        fs::write(&path, "").unwrap();
        assert!(said().ends_with("run.sock is no socket"));
        fs::remove_file(&path).unwrap();
        drop(listener(&path));
        assert!(said().ends_with(" any more"), "{}", said());
        assert!(path.exists(), "whose it is is not known");
    }
}
