//! Connections of viewers: accepted, bounded, and served in HTTP/1.1.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;

use super::connection_limit::{Admitted, ConnectionLimit, TimedStream};

/// Bytes of a head, and of output that waits to be written. A longer head gets a 431.
const MAX_HEAD: usize = 16 * 1024;

/// Lines of a head. More get a 431.
const MAX_LINES: usize = 64;

/// Pause after a connection could not be accepted: a limit on files may be in force.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves every connection, for as long as the runtime lives.
pub(super) async fn serve(listener: TcpListener, router: Router) {
    let limit = ConnectionLimit::default();
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "no connection of a viewer could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // One for which there is no place is closed.
        if let Some(admitted) = limit.admit(client.ip()) {
            tokio::spawn(answer(stream, Arc::new(admitted), router.clone()));
        }
    }
}

async fn answer(stream: TcpStream, admitted: Arc<Admitted>, router: Router) {
    let io = TokioIo::new(TimedStream::new(stream, Arc::clone(&admitted)));
    let mark = Arc::clone(&admitted);
    let service = service_fn(move |mut request: Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(mark.answering());
        router.clone().call(request)
    });
    let mut builder = http1::Builder::new();
    // What a client may take is timed by the stream itself, which tells a head from a pause between two.
    builder.header_read_timeout(None).max_buf_size(MAX_HEAD).max_headers(MAX_LINES);
    tokio::select! {
        ended = builder.serve_connection(io, service) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "a viewer's connection has ended");
            }
        }
        () = admitted.closed() => {}
    }
}
