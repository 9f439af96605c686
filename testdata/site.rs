//! Writes the pages of the demo's TV platform into a directory, for the nginx that is recorded as production:
//! `cargo run --example site -- DIR`. The modification times, which nginx makes entity tags of, are set too.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

#[path = "../src/bin/shadowtap/demo/site.rs"]
#[expect(dead_code, reason = "staging uses what this does not")]
mod site;

fn main() -> anyhow::Result<()> {
    let Some(root) = std::env::args_os().nth(1).map(PathBuf::from) else {
        anyhow::bail!("which directory? cargo run --example site -- DIR");
    };
    std::fs::create_dir_all(&root)?;
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(site::MODIFIED);
    for (name, page) in site::files() {
        let path = root.join(name);
        std::fs::write(&path, page)?;
        std::fs::File::options().append(true).open(&path)?.set_modified(modified)?;
    }
    Ok(())
}
