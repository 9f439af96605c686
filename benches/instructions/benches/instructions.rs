//! Counts the instructions of each path under callgrind, through gungraun. What the counts are held against stands in
//! `counts.txt`; the program of this package does that.

#![allow(missing_docs, reason = "the macros make items")]

use std::hint::black_box;

use gungraun::Callgrind;
use gungraun::prelude::*;
use shadowtap_instructions::{Work, prepare};

#[library_benchmark(setup = prepare)]
#[bench::decode("decode")]
#[bench::flow("flow")]
#[bench::http1("http1")]
#[bench::chain("chain")]
#[bench::encode_gor("encode_gor")]
#[bench::encode_json("encode_json")]
#[bench::compare_equal("compare_equal")]
#[bench::compare_date("compare_date")]
#[bench::compare_headers_and_line("compare_headers_and_line")]
#[bench::compare_status("compare_status")]
#[bench::compare_json("compare_json")]
#[bench::inspect_summary("inspect_summary")]
#[bench::inspect_json("inspect_json")]
#[bench::replay_equal("replay_equal")]
#[bench::replay_differing("replay_differing")]
fn path(work: Work) {
    black_box(work.run());
}

library_benchmark_group!(name = counts, benchmarks = path);

main!(
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = counts
);
