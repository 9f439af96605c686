//! A run that begins when its interfaces are there (`--wait-interface`).

use std::thread;
use std::time::Duration;

use shadowtap::capture::live;
use shadowtap::config::typed;

use crate::output::print_line;

/// Time between two looks at the interfaces.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Waits until the interfaces are there and up, where that was asked for. Nothing is opened yet: a signal ends it.
pub(crate) fn for_interfaces(typed: &typed::Live) {
    if !typed.wait_interface {
        return;
    }
    let names = typed.interfaces.iter().flat_map(|list| list.split(',')).map(str::trim);
    let names: Vec<String> = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    let mut told = Vec::new();
    loop {
        let missing = live::missing(&names);
        if missing.is_empty() {
            return;
        }
        if missing != told {
            print_line(&format!("waiting until {} is there and up (--wait-interface)", missing.join(" and ")));
            told = missing;
        }
        thread::sleep(LOOK_EVERY);
    }
}
