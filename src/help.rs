//! What helps against an error, for people: the last part of the line that says it.

use std::borrow::Cow;
use std::error::Error;

use crate::capture::CaptureError;
use crate::capture::privileges::PrivilegeError;
use crate::causes::{Help, causes, chain, line};
use crate::pipeline::RunError;
use crate::recording::{RecordError, RecordingReadError, StoreError};
use crate::replay::ClientError;
use crate::sandbox::SandboxError;
use crate::serve::{ServeError, control::SocketError};

/// Returns what helps against an error or one of its causes, where one of them knows.
#[must_use]
pub fn help(error: &(dyn Error + 'static)) -> Option<Cow<'static, str>> {
    chain(error).find_map(|error| {
        of::<RunError>(error)
            .or_else(|| of::<ClientError>(error))
            .or_else(|| of::<RecordError>(error))
            .or_else(|| of::<StoreError>(error))
            .or_else(|| of::<CaptureError>(error))
            .or_else(|| of::<RecordingReadError>(error))
            .or_else(|| of::<PrivilegeError>(error))
            .or_else(|| of::<ServeError>(error))
            .or_else(|| of::<SocketError>(error))
            .or_else(|| of::<SandboxError>(error))
    })
}

/// Returns the line that people read: what an error and its causes say, a semicolon, and what helps.
#[must_use]
pub fn say(error: &(dyn Error + 'static)) -> String {
    line(causes(error), help(error))
}

fn of<E: Help + Error + 'static>(error: &(dyn Error + 'static)) -> Option<Cow<'static, str>> {
    error.downcast_ref::<E>()?.help()
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::bounded::ReadError;
    use crate::capture::CaptureError;
    use crate::middleware::secret::SecretError;
    use crate::serve::TokenError;
    use crate::serve::control::AskError;

    const GONE: &str = "No such file or directory (os error 2)";
    const DENIED: &str = "Permission denied (os error 13)";

    /// Each level of an error says something that no other level does.
    #[track_caller]
    fn check(error: &(dyn Error + 'static), line: &str) {
        assert_eq!(say(error), line);
        let levels: Vec<_> = chain(error).map(ToString::to_string).collect();
        for (at, level) in levels.iter().enumerate() {
            assert!(levels.iter().skip(at + 1).all(|below| !level.contains(below.as_str())), "{levels:?}");
        }
    }

    #[test]
    fn each_cause_is_said_once_and_what_helps_comes_last() {
        let gone = || io::Error::from_raw_os_error(2);
        let denied = || io::Error::from_raw_os_error(13);
        let (path, command) = (|| PathBuf::from("/a"), || "x y".to_owned());
        check(&CaptureError::Open { file: path(), source: gone() }, &format!("cannot open /a: {GONE}"));
        check(&CaptureError::Read { file: "/a".to_owned(), source: denied() }, &format!("cannot read /a: {DENIED}"));
        check(
            &RunError::Capture(CaptureError::Open { file: path(), source: gone() }),
            &format!("cannot open /a: {GONE}"),
        );
        let middleware = RunError::Middleware { command: command(), source: gone() };
        let spelled = "is its name spelled right, and is it in PATH?";
        check(&middleware, &format!("cannot start the middleware `x y`: {GONE}; {spelled}"));
        let brake = RunError::GuardCommand { command: command(), source: gone() };
        check(&brake, &format!("cannot start the guard command `x y`: {GONE}; {spelled}"));
        let start = RunError::Start(io::Error::from_raw_os_error(11));
        let limit = "is a limit on processes in force (ulimit -u)?";
        check(&start, &format!("cannot start a thread: Resource temporarily unavailable (os error 11); {limit}"));
        let files = RunError::Start(io::Error::from_raw_os_error(24));
        check(&files, "cannot start a thread: Too many open files (os error 24); raise the limit with ulimit -n");
        let pem = || ClientError::Pem { flag: "--ca", path: path(), why: "it is empty".to_owned() };
        let give = "--ca /a: it is empty; give a file in PEM, which begins with -----BEGIN";
        check(&pem(), give);
        check(&RunError::Client(pem()), give);
        let full = RecordError::Write { path: path(), source: io::Error::from_raw_os_error(28) };
        let room = "make room, or give another place with -o";
        check(&full, &format!("cannot write /a: No space left on device (os error 28); {room}"));
        let create = RecordError::Create { path: path(), source: gone() };
        check(&create, &format!("cannot make /a: {GONE}; look at the disk, or give another place with -o"));
        let user = PrivilegeError::NotWritable { directory: path(), user: "ann".to_owned(), source: denied() };
        let chown = "sudo chown ann /a, or name another user with --user";
        check(&user, &format!("cannot write to /a as ann: {DENIED}; {chown}"));
        let step = PrivilegeError::Step { name: "ann".to_owned(), step: "setgid", source: denied() };
        check(&step, &format!("cannot become ann: setgid: {DENIED}"));
        check(
            &PrivilegeError::Lookup { name: "ann".to_owned(), source: gone() },
            &format!("cannot look up the user ann: {GONE}"),
        );
        let bind = ServeError::Bind { address: ([127, 0, 0, 1], 80).into(), source: denied() };
        let port = "port 80 is for root; take one from 1024 on, such as 9184";
        check(&bind, &format!("cannot listen at 127.0.0.1:80: {DENIED}; {port}"));
        let name = ServeError::Name { typed: "nowhere:1".to_owned(), source: io::Error::other("unknown") };
        check(&name, "`nowhere:1`: unknown; an address such as 127.0.0.1:9184 always works");
        let elsewhere = "name another place with --control, or none: --control off";
        check(
            &SocketError::MakeFolder { folder: path(), source: gone() },
            &format!("cannot make /a for the control socket: {GONE}; {elsewhere}"),
        );
        check(
            &SocketError::Make { path: path(), source: gone() },
            &format!("cannot make the control socket /a: {GONE}; {elsewhere}"),
        );
        check(&AskError::Speak { path: path(), source: gone() }, &format!("cannot speak to the run at /a: {GONE}"));
        check(&TokenError::Read { path: path(), source: gone() }, &format!("cannot read /a: {GONE}"));
        check(&SecretError::File { path: path(), source: gone() }, &format!("cannot read /a: {GONE}"));
        check(&ReadError::Io(gone()), &format!("cannot be read: {GONE}"));
    }
}
