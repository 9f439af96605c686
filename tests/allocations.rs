//! A request that passes a chain unchanged costs no allocation.

#[path = "../benches/support/chains.rs"]
mod chains;

use chains::{TEN_LINKS, chain, rewritten, unchanged};
use shadowtap::exchange::Request;
use shadowtap::middleware::Chain;

/// Allocations while the request passes the chain, once the chain has seen its like.
fn allocations(chain: &mut Chain, request: &Request) -> u64 {
    for _ in 0..3 {
        chain.apply(&mut request.clone()).expect("it passes");
    }
    let mut request = request.clone();
    allocation_counter::measure(|| chain.apply(&mut request).expect("it passes")).count_total
}

#[test]
fn a_request_that_passes_ten_links_unchanged_costs_no_allocation() {
    let mut chain = chain(TEN_LINKS);
    assert_eq!(allocations(&mut chain, &unchanged()), 0);
    assert!(allocations(&mut chain, &rewritten()) > 0, "allocations are not counted");
}

#[test]
fn a_route_and_keys_as_captured_cost_no_allocation_either() {
    let map = tempfile::NamedTempFile::new().expect("a file for the map");
    std::fs::write(map.path(), "^/v1/ old\n^/v2/ new\n").expect("the map is written");
    let routed = format!(
        "{TEN_LINKS}\n[[link]]\nroute = {{ map = '{}' }}\n[[link]]\nsample = {{ share = \"100%\", by = \"param:page\" }}\n",
        map.path().display()
    );
    assert_eq!(allocations(&mut chain(&routed), &unchanged()), 0);
}

/// Most memory that is in use at once while a chain file is read.
fn most_memory(text: &str) -> u64 {
    let mut chain = None;
    let most = allocation_counter::measure(|| chain = Some(self::chain(text))).bytes_max;
    assert!(chain.is_some_and(|mut chain| chain.apply(&mut unchanged()).is_ok()), "nothing of it is denied");
    most
}

#[test]
fn a_hundred_thousand_denied_paths_take_some_hundred_bytes_each() {
    let list = |count: usize, shape: fn(usize) -> String| {
        let paths: Vec<String> = (0..count).map(|number| format!("'{}'", shape(number))).collect();
        format!("[[link]]\ndrop = {{ path = [{}] }}\n", paths.join(","))
    };
    let shapes: [fn(usize) -> String; 3] =
        [|n| format!("^/v3/item-{n}/"), |n| format!("^/v3/item-{n}$"), |n| format!("/item-{n}/")];
    for shape in shapes {
        let most = most_memory(&list(100_000, shape));
        assert!(most < 100_000 * 640, "{most}");
    }
}
