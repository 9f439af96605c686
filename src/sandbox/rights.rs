//! The rights of a root that stays root: those that reach other users' files are kept, as `sudo` is used for, and all
//! others go.

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities,
};

use super::SandboxError;

/// Numbers that capabilities may have; the kernel refuses those that it does not know.
const NUMBERS: u32 = 64;

/// Capabilities that reach files of other users.
const OF_FILES: CapabilitySet = CapabilitySet::DAC_OVERRIDE
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::CHOWN);

/// Drops every capability; but those of files where `keep`.
pub(super) fn keep_files_only(keep: bool) -> Result<(), SandboxError> {
    let failed = |error: rustix::io::Errno| SandboxError::new("capabilities", error);
    let now = capabilities(None).map_err(failed)?;
    for number in 0..NUMBERS {
        // Without the capability to do that nothing is lost: `no_new_privs` has programs start without any.
        if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_err() {
            break;
        }
    }
    // A kernel before 4.3 has no such set.
    clear_ambient_capability_set().ok();
    let kept = if keep { now.permitted & OF_FILES } else { CapabilitySet::empty() };
    let sets = CapabilitySets { effective: now.effective & kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).map_err(failed)
}
