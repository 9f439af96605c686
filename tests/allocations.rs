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
