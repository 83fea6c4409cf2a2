//! Opens the ports of a role, and closes and opens them again as start-up and faults ask.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::response::Response;
use axum::routing::get;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::faults::Fault;
use super::ports::{Port, Serves};
use super::shared::{PortState, Shared, Work, pause};
use super::{connections, control, health};

/// Between two attempts at a port that cannot be bound, or an accept that failed (no descriptors left):
/// short enough for a test, long enough not to burn a core.
const RETRY: Duration = Duration::from_millis(200);

/// How long open HTTP requests may go on after their port was closed.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// Starts a task for each port of the role.
pub(super) fn open_all(shared: &Arc<Shared>, work: &Arc<dyn Work>) {
    for port in shared.role.ports() {
        tokio::spawn(keep(*port, Arc::clone(shared), Arc::clone(work)));
    }
}

/// Keeps one port open whenever it should be.
async fn keep(port: Port, shared: Arc<Shared>, work: Arc<dyn Work>) {
    let address = shared.address(port);
    loop {
        note(&shared, port, address, shared.closed_reason(port).unwrap_or_default());
        until(&shared, port, Wanted::Open).await;
        let listener = match TcpListener::bind(address).await {
            Ok(listener) => listener,
            Err(error) => {
                shared.log(format_args!("port {} cannot open on {address}: {error}", port.number));
                note(&shared, port, address, &error.to_string());
                pause(RETRY).await;
                continue;
            }
        };
        shared.log(format_args!("port {} open on {address}", port.number));
        note(&shared, port, address, "");
        match port.serves {
            Serves::Http => serve_http(listener, Arc::clone(&work).routes(), &shared, port).await,
            Serves::Health => serve_http(listener, health::routes(&shared), &shared, port).await,
            Serves::Control => serve_http(listener, control::routes(&shared, &work), &shared, port).await,
            Serves::Clients | Serves::Silence => {
                tokio::select! {
                    () = accept(listener, &shared, &work, port) => {}
                    () = until(&shared, port, Wanted::Closed) => {}
                }
            }
        }
        shared.log(format_args!("port {} closed", port.number));
    }
}

/// Notes the state of a port: open if there is no reason against it, and it was bound.
fn note(shared: &Shared, port: Port, address: SocketAddr, why: &str) {
    let open = why.is_empty();
    let state = PortState { address: address.to_string(), open, why: why.to_owned() };
    shared.ports.send_modify(|ports| {
        ports.insert(port.number, state);
    });
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Open,
    Closed,
}

/// Waits until the port should be open, or closed.
async fn until(shared: &Shared, port: Port, wanted: Wanted) {
    let mut faults = shared.faults.subscribe();
    let mut started = shared.started.subscribe();
    while shared.closed_reason(port).is_none() != (wanted == Wanted::Open) {
        tokio::select! {
            _ = faults.changed() => {}
            _ = started.changed() => {}
        }
    }
}

/// Serves HTTP until the port should be closed.
async fn serve_http(listener: TcpListener, routes: Router, shared: &Arc<Shared>, port: Port) {
    let role = shared.role;
    let banner = format!("This is a stand-in for {role}, for tests. It is not the real server.\n");
    let routes =
        routes.route("/", get(async move || banner.clone())).layer(axum::middleware::map_response(mark));
    let told = Arc::clone(shared);
    let closed = async move { until(&told, port, Wanted::Closed).await };
    let serving = axum::serve(listener, routes).with_graceful_shutdown(closed).into_future();
    let late = async {
        until(shared, port, Wanted::Closed).await;
        pause(CLOSE_WITHIN).await;
    };
    tokio::select! {
        _ = serving => {}
        () = late => {}
    }
}

/// Names each answer as a stand-in's.
async fn mark(mut response: Response) -> Response {
    response.headers_mut().insert("x-stand-in", HeaderValue::from_static("true"));
    response
}

/// Accepts connections, each in a task of its own; all of them end with this future.
async fn accept(listener: TcpListener, shared: &Arc<Shared>, work: &Arc<dyn Work>, port: Port) {
    let clients = port.serves == Serves::Clients;
    let mut faults = shared.faults.subscribe();
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients && shared.refuses_clients() => drop(stream),
                Ok((stream, from)) if clients => {
                    open.spawn(connections::serve(stream, from, Arc::clone(shared), Arc::clone(work)));
                }
                Ok((stream, _)) => {
                    open.spawn(hold(stream));
                }
                Err(error) => {
                    shared.log(format_args!("port {} accepts nothing: {error}", port.number));
                    pause(RETRY).await;
                }
            },
            _ = faults.changed() => {
                if clients && shared.faults.is_on(|fault| *fault == Fault::AddressingWrong) {
                    open.abort_all();
                }
            }
            Some(_) = open.join_next() => {}
        }
    }
}

/// Holds a connection open until the other side closes it, and throws away what it says.
async fn hold(mut stream: TcpStream) {
    // An error ends the connection just as its end does.
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}
