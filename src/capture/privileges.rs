//! The rights that a capture takes, given up once they have served.
//!
//! Opening interfaces takes root, or a capability; reading them takes neither. So once they are open, the process becomes
//! an ordinary user, without capabilities and without a way to get them back. That is a property of the process only
//! while there is one thread: with more, nothing is given up and that is an error.

use crate::causes::Help;
use std::borrow::Cow;
use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid};

use crate::files;

/// The user of nobody's files, and its number where the system has no such name.
const NOBODY: (&str, u32) = ("nobody", 65_534);

/// User to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    uid: Uid,
    gid: Gid,
    /// True when the process has to change its user: root becomes another user; other users stay.
    change: bool,
    /// True when nobody asked for this user, by name or by sudo.
    is_fallback: bool,
}

impl User {
    /// The numbers of the user and the group that this process is about to become; `None` where it stays who it is.
    #[must_use]
    pub fn becomes(&self) -> Option<(u32, u32)> {
        self.change.then(|| (self.uid.as_raw(), self.gid.as_raw()))
    }

    /// Root stays root, without its capabilities, where it would become `nobody` for want of anybody else, and `try_outputs`
    /// says that `nobody` may not write. Returns whether it does.
    ///
    /// No user is behind such a root who would gain anything by what it writes: it was not reached by sudo.
    ///
    /// # Errors
    ///
    /// Where the process cannot act as itself again; it should end.
    pub fn stay_where_needed(&mut self, try_outputs: impl FnOnce() -> io::Result<()>) -> Result<bool, PrivilegeError> {
        if !self.is_fallback {
            return Ok(false);
        }
        let refused = match acting_as(self, try_outputs)? {
            None => true,
            Some(tried) => tried.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied),
        };
        if refused {
            *self = Self { change: false, is_fallback: false, ..numbered(unistd::geteuid(), unistd::getegid())? };
        }
        Ok(refused)
    }
}

/// Result of giving up privileges. As text, a line for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedPrivileges {
    /// Name of the user of this process.
    pub user: String,
}

impl std::fmt::Display for DroppedPrivileges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let capabilities = if cfg!(target_os = "linux") { ", no capabilities" } else { "" };
        write!(f, "running as {}{capabilities}", self.user)
    }
}

/// Reason why privileges could not be given up, or are missing afterwards.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivilegeError {
    /// There is no such user.
    #[error("there is no user {name}; `getent passwd` lists them")]
    NoUser {
        /// The name or number.
        name: String,
    },
    /// Only root can become somebody else.
    #[error("only root can become {name}, and this is {now}: run with sudo, or leave out --user")]
    NotRoot {
        /// Requested user.
        name: String,
        /// Current user.
        now: String,
    },
    /// Users cannot be looked up.
    #[error("cannot look up the user {name}")]
    Lookup {
        /// The name or number.
        name: String,
        /// The system's words.
        source: io::Error,
    },
    /// A step of giving up failed.
    #[error("cannot become {name}: {step}")]
    Step {
        /// Requested user.
        name: String,
        /// The call that failed.
        step: &'static str,
        /// The system's words.
        source: io::Error,
    },
    /// Every step succeeded, but root can still be regained.
    #[error("cannot become {name}: the system lets root be had back")]
    Regained {
        /// Requested user.
        name: String,
    },
    /// Other threads would keep what this one gives up.
    #[error("cannot become {name}: {threads} threads run already, and each has rights of its own")]
    Threads {
        /// Requested user.
        name: String,
        /// Number of threads.
        threads: usize,
    },
    /// A directory cannot be written to.
    #[error("cannot write to {} as {user}", directory.display())]
    NotWritable {
        /// The directory.
        directory: PathBuf,
        /// User of this process.
        user: String,
        /// The system's words.
        source: io::Error,
    },
}

impl Help for PrivilegeError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::NotWritable { directory, user, source } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some(format!("sudo chown {user} {}, or name another user with --user", directory.display()).into())
            }
            _ => None,
        }
    }
}

/// Who to run as: the user that is named; else, for root, the user behind sudo (or pkexec, or doas), or nobody. Who is not
/// root stays who they are.
///
/// # Errors
///
/// Where there is no such user, or this process may not become that user.
pub fn user(typed: Option<&str>) -> Result<User, PrivilegeError> {
    let variable = |name| std::env::var(name).ok();
    let by_doas = variable("DOAS_USER").and_then(|name| named(&name).ok()).map(|user| user.uid.to_string());
    let behind = variable("SUDO_UID").or_else(|| variable("PKEXEC_UID")).or(by_doas);
    choose(typed, unistd::geteuid(), [behind.as_deref(), variable("SUDO_GID").as_deref()])
}

/// `sudo` is the user that it says is behind it, and the group.
fn choose(typed: Option<&str>, me: Uid, sudo: [Option<&str>; 2]) -> Result<User, PrivilegeError> {
    let account = typed.map(named).transpose()?;
    if !me.is_root() {
        let now = numbered(me, unistd::getegid())?;
        return match account {
            Some(account) if account.uid != me => Err(PrivilegeError::NotRoot { name: account.name, now: now.name }),
            _ => Ok(User { change: false, ..now }),
        };
    }
    if let Some(account) = account {
        return Ok(account);
    }
    let number = |typed: Option<&str>| typed.and_then(|typed| typed.parse::<u32>().ok()).filter(|id| *id > 0);
    let [behind, group] = sudo.map(number);
    if let Some(uid) = behind {
        return numbered(Uid::from_raw(uid), Gid::from_raw(group.unwrap_or(NOBODY.1)));
    }
    let (name, number) = NOBODY;
    let nobody = match named(name) {
        Err(PrivilegeError::NoUser { .. }) => numbered(Uid::from_raw(number), Gid::from_raw(number)),
        found => found,
    };
    Ok(User { is_fallback: true, ..nobody? })
}

/// The account of a name, or of a number.
fn named(typed: &str) -> Result<User, PrivilegeError> {
    let lookup = |error: nix::Error| PrivilegeError::Lookup { name: typed.to_owned(), source: error.into() };
    let found = match typed.parse::<u32>() {
        Ok(uid) => unistd::User::from_uid(Uid::from_raw(uid)),
        Err(_) => unistd::User::from_name(typed),
    };
    let found = or_none(found).map_err(lookup)?.ok_or_else(|| PrivilegeError::NoUser { name: typed.to_owned() })?;
    Ok(User { name: found.name, uid: found.uid, gid: found.gid, change: true, is_fallback: false })
}

/// Where there is no list of users at all, nobody is in it: getpwnam(3) says so with an error.
fn or_none(found: nix::Result<Option<unistd::User>>) -> nix::Result<Option<unistd::User>> {
    match found {
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(None),
        found => found,
    }
}

/// The account of `uid`; where it has none, it goes by its number, with `gid`.
fn numbered(uid: Uid, gid: Gid) -> Result<User, PrivilegeError> {
    let name = uid.to_string();
    let found = or_none(unistd::User::from_uid(uid))
        .map_err(|error| PrivilegeError::Lookup { name: name.clone(), source: error.into() })?;
    let (name, gid) = found.map_or((name, gid), |found| (found.name, found.gid));
    Ok(User { name, uid, gid, change: true, is_fallback: false })
}

/// Becomes `user` for good: groups, user, capabilities. Call it once everything is open that takes rights, and before
/// there is another thread.
///
/// # Errors
///
/// The step that the system refuses; the process may have given up some of its rights then, and should end.
pub fn drop_privileges(user: &User) -> Result<DroppedPrivileges, PrivilegeError> {
    let name = &user.name;
    // After the change the system may not tell any more.
    let threads = fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(PrivilegeError::Threads { name: name.clone(), threads });
    }
    capabilities::unbind();
    if user.change {
        become_user(user)?;
    }
    capabilities::drop_all().map_err(|(step, source)| PrivilegeError::Step { name: name.clone(), step, source })?;
    if !user.uid.is_root() && unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(PrivilegeError::Regained { name: name.clone() });
    }
    Ok(DroppedPrivileges { user: name.clone() })
}

/// Does something as `user`, and is itself again afterwards; `None` where this process may not be that user. To be called
/// while there is one thread.
fn acting_as<T>(user: &User, act: impl FnOnce() -> T) -> Result<Option<T>, PrivilegeError> {
    let failed =
        |step| move |error: nix::Error| PrivilegeError::Step { name: "root".to_owned(), step, source: error.into() };
    let (me, my_group) = (unistd::geteuid(), unistd::getegid());
    let mine = own_groups().map_err(failed("getgroups"))?;
    let became = groups(user).and_then(|()| unistd::setegid(user.gid)).and_then(|()| unistd::seteuid(user.uid));
    let done = became.is_ok().then(act);
    unistd::seteuid(me).map_err(failed("seteuid"))?;
    unistd::setegid(my_group).map_err(failed("setegid"))?;
    // Who could not set them has them still.
    if done.is_some() {
        set_groups(&mine).map_err(failed("setgroups"))?;
    }
    Ok(done)
}

#[cfg(not(target_vendor = "apple"))]
fn own_groups() -> nix::Result<Vec<Gid>> {
    unistd::getgroups()
}

#[cfg(not(target_vendor = "apple"))]
fn set_groups(groups: &[Gid]) -> nix::Result<()> {
    unistd::setgroups(groups)
}

/// There they come with the user.
#[cfg(target_vendor = "apple")]
fn own_groups() -> nix::Result<Vec<Gid>> {
    Ok(Vec::new())
}

#[cfg(target_vendor = "apple")]
fn set_groups(_: &[Gid]) -> nix::Result<()> {
    Ok(())
}

/// Groups before the user: afterwards there is no right left to change them.
fn become_user(user: &User) -> Result<(), PrivilegeError> {
    let failed =
        |step| move |error: nix::Error| PrivilegeError::Step { name: user.name.clone(), step, source: error.into() };
    groups(user).map_err(failed("setgroups"))?;
    set_ids(user).map_err(failed("setuid"))
}

/// The groups that the user is in.
#[cfg(not(target_vendor = "apple"))]
fn groups(user: &User) -> nix::Result<()> {
    match CString::new(user.name.as_str()) {
        Ok(name) => unistd::initgroups(&name, user.gid),
        Err(_) => unistd::setgroups(&[user.gid]),
    }
}

/// There they come with the user.
#[cfg(target_vendor = "apple")]
fn groups(_: &User) -> nix::Result<()> {
    Ok(())
}

/// Real, effective and saved: none is left to go back to.
#[cfg(target_os = "linux")]
fn set_ids(user: &User) -> nix::Result<()> {
    unistd::setresgid(user.gid, user.gid, user.gid)?;
    unistd::setresuid(user.uid, user.uid, user.uid)
}

/// For root, these set the saved ones as well (POSIX).
#[cfg(not(target_os = "linux"))]
fn set_ids(user: &User) -> nix::Result<()> {
    unistd::setgid(user.gid)?;
    unistd::setuid(user.uid)
}

#[cfg(target_os = "linux")]
mod capabilities {
    use std::io;

    use rustix::thread::{
        CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
        set_capabilities, set_no_new_privs,
    };

    /// Numbers that capabilities may have; the kernel refuses those that it does not know.
    const NUMBERS: u32 = 64;

    /// Takes every capability out of what programs may be given that this one might start. That takes a capability of
    /// its own: without it nothing is lost, since `no_new_privs` has them start without any.
    pub(super) fn unbind() {
        for number in 0..NUMBERS {
            if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_err() {
                return;
            }
        }
    }

    /// Drops every capability, and the ways to get one. The error has the call that failed.
    pub(super) fn drop_all() -> Result<(), (&'static str, io::Error)> {
        let failed = |step| move |error: rustix::io::Errno| (step, io::Error::from(error));
        // A kernel before 4.3 has no such set.
        clear_ambient_capability_set().ok();
        let none = CapabilitySet::empty();
        let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
        set_capabilities(None, sets).map_err(failed("capset"))?;
        set_no_new_privs(true).map_err(failed("no_new_privs"))?;
        match capabilities(None).map_err(failed("capget"))? {
            left if left == sets => Ok(()),
            _ => Err(("capset", io::Error::other("some capabilities are left"))),
        }
    }
}

/// Other systems have none.
#[cfg(not(target_os = "linux"))]
mod capabilities {
    pub(super) fn unbind() {}

    pub(super) fn drop_all() -> Result<(), (&'static str, std::io::Error)> {
        Ok(())
    }
}

/// Whether files can be made in `directory` by who this process is now: one is made, and removed. Of a directory that is
/// yet to be made, the nearest one above it that exists is tried.
///
/// # Errors
///
/// Where none can be made, with the system's words.
pub fn can_write(directory: &Path) -> Result<(), PrivilegeError> {
    let directory = directory.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("."));
    let file = directory.join(format!(".shadowtap-{}", std::process::id()));
    let made = files::create_new(&file, files::FileMode::default()).and_then(|_| files::remove(&file));
    made.map_err(|source| PrivilegeError::NotWritable {
        directory: directory.to_owned(),
        user: numbered(unistd::geteuid(), unistd::getegid()).map_or_else(|_| "this user".to_owned(), |user| user.name),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Any user but root.
    const SOMEBODY: u32 = 54_321;

    fn root(typed: Option<&str>, sudo_uid: Option<&str>) -> Result<User, PrivilegeError> {
        choose(typed, Uid::from_raw(0), [sudo_uid, Some("54322")])
    }

    #[test]
    fn root_becomes_who_is_named_else_who_is_behind_sudo_else_nobody() {
        assert_eq!(root(Some("root"), Some("54321")).unwrap().uid.as_raw(), 0);
        let behind = root(None, Some("54321")).unwrap();
        assert_eq!((behind.uid.as_raw(), behind.gid.as_raw(), behind.change), (SOMEBODY, 54_322, true));
        for nobody in [None, Some("0"), Some("alice")] {
            let found = root(None, nobody).unwrap();
            assert_eq!((found.uid.as_raw(), found.is_fallback), (NOBODY.1, true), "{nobody:?}");
        }
    }

    #[test]
    fn without_a_list_of_users_nobody_is_in_it() {
        assert!(matches!(or_none(Err(Errno::ENOENT)), Ok(None)));
        assert!(matches!(or_none(Err(Errno::EMFILE)), Err(Errno::EMFILE)));
        assert!(or_none(unistd::User::from_uid(Uid::from_raw(0))).unwrap().is_some());
    }

    #[test]
    fn who_was_asked_for_is_not_exchanged_for_root() {
        let mut asked = [root(Some("nobody"), None).unwrap(), root(None, Some("54321")).unwrap()];
        for user in &mut asked {
            let before = user.clone();
            let stays = user.stay_where_needed(|| panic!("nothing is tried as {}", before.name)).unwrap();
            assert_eq!((stays, &*user), (false, &before));
        }
    }

    #[test]
    fn who_is_not_root_stays_who_they_are() {
        let me = Uid::from_raw(SOMEBODY);
        let stays = choose(None, me, [Some("1"), None]).unwrap();
        assert_eq!((stays.uid, stays.change), (me, false));
        let told = choose(Some("root"), me, [None, None]).unwrap_err().to_string();
        assert_eq!(told, "only root can become root, and this is 54321: run with sudo, or leave out --user");
    }

    #[test]
    fn a_user_that_does_not_exist_is_told() {
        let told = root(Some("no-such-user"), None).unwrap_err().to_string();
        assert_eq!(told, "there is no user no-such-user; `getent passwd` lists them");
    }

    #[test]
    fn a_directory_is_tried_by_making_a_file_in_it() {
        let folder = tempfile::tempdir().unwrap();
        can_write(folder.path()).unwrap();
        can_write(&folder.path().join("2026-11-21/later")).unwrap();
        can_write(Path::new("")).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_refusal_comes_with_the_command_that_helps() {
        let told = |kind: io::ErrorKind| {
            let (directory, user) = (PathBuf::from("/var/log/tap"), "nobody".to_owned());
            crate::causes::say_with_help(&PrivilegeError::NotWritable { directory, user, source: kind.into() })
        };
        assert_eq!(
            told(io::ErrorKind::PermissionDenied),
            "cannot write to /var/log/tap as nobody: permission denied; sudo chown nobody /var/log/tap, or name another user with --user"
        );
        assert_eq!(told(io::ErrorKind::StorageFull), "cannot write to /var/log/tap as nobody: no storage space");
    }
}
