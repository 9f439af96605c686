//! Holds what gungraun counted against the numbers in the tree: its JSON comes in on standard input. The one argument says
//! what to do: `print`, `check` (fail where more is needed) or `accept` (write the numbers). `.ci/instructions` calls it.

mod counts;
mod profile;

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use counts::{Counts, PathCount};
use profile::own_instructions;
use shadowtap_instructions::{PATHS, prepare};

/// The numbers in the tree.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/counts.txt");

fn main() -> ExitCode {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match run(&mode) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("cannot count instructions: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(mode: &str) -> Result<ExitCode, String> {
    let now = Counts { tools: tools(), paths: counted()? };
    if mode == "accept" {
        std::fs::write(FILE, now.to_text()).map_err(|why| format!("{FILE}: {why}"))?;
        println!("written to {FILE}; the commit says why what is more is worth it");
        return Ok(ExitCode::SUCCESS);
    }
    let text = std::fs::read_to_string(FILE).map_err(|why| format!("{FILE}: {why}"))?;
    let tree =
        Counts::parse(&text).ok_or_else(|| format!("{FILE} is not what `make bench-instructions-accept` writes"))?;
    let (table, over) = now.against(&tree, |name| prepare(name).items);
    print!("{table}");
    if tree.tools != now.tools {
        println!("not compared: the tree has numbers of {}, these are of {}", tree.tools, now.tools);
        return Ok(ExitCode::SUCCESS);
    }
    for line in &over {
        println!("{line}");
    }
    if over.is_empty() || mode != "check" {
        return Ok(ExitCode::SUCCESS);
    }
    println!("take it back, or run `make bench-instructions-accept` and commit the numbers with the reason");
    Ok(ExitCode::FAILURE)
}

/// All paths, counted: instructions from standard input, allocations here.
fn counted() -> Result<Vec<PathCount>, String> {
    let mut json = String::new();
    std::io::stdin().read_to_string(&mut json).map_err(|why| format!("standard input: {why}"))?;
    let summaries = json.lines().map(serde_json::from_str::<serde_json::Value>).collect::<Result<Vec<_>, _>>();
    let summaries = summaries.map_err(|why| format!("standard input is not gungraun's JSON: {why}"))?;
    let path = |name: &str| {
        let summary = summaries.iter().find(|summary| summary["id"] == name);
        let instructions = summary.and_then(|summary| instructions(name, summary));
        let instructions = instructions.ok_or_else(|| format!("gungraun has no instructions of {name}"))?;
        let work = prepare(name);
        let allocations = allocation_counter::measure(|| {
            std::hint::black_box(work.run());
        });
        Ok(PathCount { name: name.to_owned(), instructions, allocations: allocations.count_total })
    };
    PATHS.into_iter().map(path).collect()
}

/// The instructions in a summary. Those of SHA-256 are left out: valgrind has no instructions for it, and without them it
/// takes more than all the rest.
fn instructions(name: &str, summary: &serde_json::Value) -> Option<u64> {
    let values = &summary["profiles"][0]["data"]["total"]["metrics"]["Ir"]["values"];
    let all = values["new"].as_u64().or_else(|| values["both"][0].as_u64())?;
    let folder = Path::new(summary["project_root"].as_str()?).join(summary["output_dir"].as_str()?);
    let profile = std::fs::read_to_string(folder.join(format!("callgrind.path.{name}.out"))).ok()?;
    Some(all - own_instructions(&profile, |function| function.starts_with("sha2::sha256")))
}

/// What counts depend on besides the code.
fn tools() -> String {
    let first_line = |program: &str, argument: &str| {
        let output = Command::new(program).arg(argument).output().map(|output| output.stdout).unwrap_or_default();
        String::from_utf8_lossy(&output).lines().next().unwrap_or("unknown").to_owned()
    };
    let glibc = first_line("ldd", "--version");
    let glibc = glibc.rsplit(' ').next().unwrap_or_default();
    let rustc = first_line("rustc", "--version");
    let rustc = rustc.split(" (").next().unwrap_or_default();
    format!("{rustc}, glibc {glibc}, {}{}", std::env::consts::ARCH, vectors())
}

/// The vector instructions that libraries choose their code by, as far as valgrind has them.
#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    if std::is_x86_feature_detected!("avx2") { " with avx2" } else { "" }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    ""
}
