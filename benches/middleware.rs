//! What a chain costs a request: ten links where nothing matches and where five rewrite, and maps of more and more
//! routes.

#[path = "support/chains.rs"]
mod chains;
mod support;

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use shadowtap::exchange::Request;
use shadowtap::middleware::route::{MatchInput, RouteDecision, RouteMap, Router, TargetNames};

/// Requests of one measurement: enough for the clock not to count.
const REQUESTS: usize = 1000;

fn ten_links(c: &mut Criterion) {
    let mut group = c.benchmark_group("chain of ten links");
    group.throughput(Throughput::Elements(REQUESTS as u64));
    for (name, request) in [("nothing matches", chains::unchanged()), ("five rewrite", chains::rewritten())] {
        let mut chain = chains::chain(chains::TEN_LINKS);
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || vec![request.clone(); REQUESTS],
                |requests| {
                    for request in requests {
                        chain.apply(black_box(request)).expect("it passes");
                    }
                },
                BatchSize::LargeInput,
            );
        });
    }
}

/// A router of so many routes, of which the last one matches.
fn router(routes: usize) -> Router {
    let lines: Vec<String> = (1..routes)
        .map(|n| match n % 3 {
            0 => format!("^/v2/service-{n}/ new"),
            1 => format!("^/v2/service-{n}/[0-9]+$ new"),
            _ => format!("^/v2/service-{n}/(a|b)/ old"),
        })
        .chain(["^/v2/programs/ new".to_owned()])
        .collect();
    let map = RouteMap::parse(&lines.join("\n"), MatchInput::Path).expect("the map is well written");
    Router::new(Arc::new(map), None, &TargetNames::Any)
}

fn routes(c: &mut Criterion) {
    let request: Request = chains::unchanged();
    let mut group = c.benchmark_group("route");
    for routes in [10, 100, 1000, 10_000] {
        let mut router = router(routes);
        group.bench_function(BenchmarkId::from_parameter(routes), |b| {
            b.iter(|| assert!(matches!(router.route(black_box(&request)), RouteDecision::To { .. })));
        });
    }
}

criterion_group! { name = benches; config = support::criterion(); targets = ten_links, routes }
criterion_main!(benches);
