//! The agent: answers HAProxy's frames. An ACK goes out before anything else is done with what it is for.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, Semaphore};

use super::codec::{
    self, ABORT, FIN, FRAME_SIZES, HAPROXY_DISCONNECT, HAPROXY_HELLO, HaproxyHello, NOTIFY, SpopError, SpopFrame, UNSET,
};
use super::listener::{SpoeListener, SpoeSocket};
use super::queue::{SpoeNotice, SpoeReceiver, SpoeSender, queue};
use crate::capture::Halt;
use crate::exchange::Timestamp;

/// Connections at once: HAProxy opens some for each of its threads. A further one waits until another ends.
const MAX_CONNECTIONS: usize = 4096;
/// Bytes read at once, and room for them.
const READ: usize = 64 << 10;
/// Room below which there is a new buffer to read into.
const LEAST_ROOM: usize = 8 << 10;
/// Bytes of a payload in several frames. A longer one is given up, as the protocol has it.
const MAX_PAYLOAD: usize = 32 << 20;
/// Longest frame before sizes are agreed on.
const FIRST_FRAME: usize = 64 << 10;
/// Time between two looks at the halt.
const LOOK: Duration = Duration::from_millis(100);
/// Pause after a connection could not be taken, for want of files.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers HAProxy from now on, in a thread of its own, until the halt; holds so many bytes at most.
pub(crate) fn start(
    listener: SpoeListener,
    halt: Halt,
    most_bytes: usize,
) -> io::Result<(SpoeReceiver, JoinHandle<()>)> {
    let (sender, receiver) = queue(most_bytes);
    let thread = thread::Builder::new().name("spoe".to_owned()).spawn(move || run(&listener, &sender, &halt))?;
    Ok((receiver, thread))
}

/// What was acknowledged, and is handed on once nobody waits for an acknowledgement: all connections that had something to
/// say at once are answered before.
#[derive(Debug)]
struct Acknowledged {
    queue: SpoeSender,
    notices: Mutex<Vec<SpoeNotice>>,
    some: Notify,
    /// Nobody takes them any more.
    is_over: AtomicBool,
}

impl Acknowledged {
    fn new(queue: SpoeSender) -> Self {
        Self { queue, notices: Mutex::default(), some: Notify::new(), is_over: AtomicBool::new(false) }
    }

    /// Adds some; false where nobody takes them any more.
    fn add(&self, notices: impl Iterator<Item = SpoeNotice>) -> bool {
        let mut all = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.len();
        all.extend(notices);
        if all.len() > before {
            self.some.notify_one();
        }
        !self.is_over.load(Ordering::Relaxed)
    }

    /// Hands on what there is, again and again. Whoever has something to read at the same time has its turn before.
    async fn hand_on(&self) {
        while !self.is_over.load(Ordering::Relaxed) {
            self.some.notified().await;
            self.flush();
        }
    }

    /// Hands on what there is.
    fn flush(&self) {
        let all = std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner));
        if !all.into_iter().all(|notice| self.queue.hand_on(notice)) {
            self.is_over.store(true, Ordering::Relaxed);
        }
    }
}

/// Answers connections until the halt.
fn run(listener: &SpoeListener, queue: &SpoeSender, halt: &Halt) {
    listener.priority.come_first();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else {
        tracing::error!("cannot listen for HAProxy: no runtime");
        return;
    };
    runtime.block_on(async {
        if let Err(error) = accept(listener, queue, halt).await {
            tracing::error!("cannot listen for HAProxy at {}: {error}", listener.address());
        }
    });
}

async fn accept(listener: &SpoeListener, queue: &SpoeSender, halt: &Halt) -> io::Result<()> {
    let acknowledged = Arc::new(Acknowledged::new(queue.clone()));
    let to = Arc::clone(&acknowledged);
    tokio::spawn(async move { to.hand_on().await });
    let queue = &acknowledged;
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut look = tokio::time::interval(LOOK);
    match &listener.socket {
        SpoeSocket::Tcp(socket) => {
            let socket = tokio::net::TcpListener::from_std(socket.try_clone()?)?;
            while !halt.is_set() {
                tokio::select! {
                    accepted = socket.accept() => match accepted {
                        Ok((stream, _)) => {
                            // An ACK is small, and somebody waits for it.
                            stream.set_nodelay(true).ok();
                            serve(stream, queue, &room);
                        }
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    },
                    _ = look.tick() => {}
                }
            }
        }
        SpoeSocket::Unix(socket) => {
            let socket = tokio::net::UnixListener::from_std(socket.try_clone()?)?;
            while !halt.is_set() {
                tokio::select! {
                    accepted = socket.accept() => match accepted {
                        Ok((stream, _)) => serve(stream, queue, &room),
                        Err(_) => tokio::time::sleep(PAUSE).await,
                    },
                    _ = look.tick() => {}
                }
            }
        }
    }
    acknowledged.flush();
    Ok(())
}

fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    acknowledged: &Arc<Acknowledged>,
    room: &Arc<Semaphore>,
) {
    let (acknowledged, room) = (Arc::clone(acknowledged), Arc::clone(room));
    tokio::spawn(async move {
        let Ok(_slot) = room.acquire_owned().await else { return };
        let ended = SpoeConnection { stream, acknowledged, max_frame_size: 0, partial: None }.run().await;
        if let Err(error) = ended {
            tracing::debug!("a connection of HAProxy ended: {error}");
        }
    });
}

/// A connection of HAProxy.
struct SpoeConnection<S> {
    stream: S,
    acknowledged: Arc<Acknowledged>,
    /// As agreed on; zero before.
    max_frame_size: usize,
    partial: Option<PartialPayload>,
}

/// A payload that comes in several frames.
struct PartialPayload {
    stream: u64,
    number: u64,
    bytes: BytesMut,
}

/// What is to be done after a frame.
enum Next {
    GoOn,
    /// Close the connection, once what is written is out.
    Close,
}

impl<S: AsyncRead + AsyncWrite + Unpin> SpoeConnection<S> {
    async fn run(mut self) -> io::Result<()> {
        let mut received = BytesMut::with_capacity(READ);
        let (mut out, mut notices) = (Vec::new(), Vec::new());
        loop {
            // What is handed on stays where it was received: one buffer is for many frames.
            if received.capacity() - received.len() < LEAST_ROOM {
                received.reserve(READ);
            }
            if self.stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
            let next = self.frames(&mut received, &mut out, &mut notices);
            // Who waits for an acknowledgement has it before anything else is done.
            self.stream.write_all(&out).await?;
            out.clear();
            let at = now();
            let max_frame_size = self.max_frame_size;
            let notices = notices.drain(..).map(|payload| SpoeNotice { at, payload, max_frame_size });
            if !self.acknowledged.add(notices) || matches!(next, Next::Close) {
                return Ok(());
            }
        }
    }

    /// Answers every frame that is there.
    fn frames(&mut self, received: &mut BytesMut, out: &mut Vec<u8>, notices: &mut Vec<Bytes>) -> Next {
        loop {
            let most = if self.max_frame_size == 0 { FIRST_FRAME } else { self.max_frame_size };
            let answered = codec::take(received, most).and_then(|frame| match frame {
                Some(frame) => self.frame(frame, out, notices).map(Some),
                None => Ok(None),
            });
            match answered {
                Ok(None) => return Next::GoOn,
                Ok(Some(Next::GoOn)) => {}
                Ok(Some(Next::Close)) => return Next::Close,
                Err(error) => {
                    self.acknowledged.queue.counts.malformed.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!("HAProxy: {error}");
                    out.extend_from_slice(&codec::disconnect(Some(error)));
                    return Next::Close;
                }
            }
        }
    }

    fn frame(&mut self, frame: SpopFrame, out: &mut Vec<u8>, notices: &mut Vec<Bytes>) -> Result<Next, SpopError> {
        let is_agreed = self.max_frame_size > 0;
        match frame.kind {
            HAPROXY_HELLO if !is_agreed => {
                let hello = HaproxyHello::read(&frame.payload)?;
                self.max_frame_size =
                    usize::try_from(hello.max_frame_size.min(*FRAME_SIZES.end())).unwrap_or(FIRST_FRAME);
                out.extend_from_slice(&hello.answer());
                let counts = &self.acknowledged.queue.counts;
                let count = if hello.is_healthcheck { &counts.health_checks } else { &counts.connections };
                count.fetch_add(1, Ordering::Relaxed);
                Ok(if hello.is_healthcheck { Next::Close } else { Next::GoOn })
            }
            HAPROXY_DISCONNECT => {
                out.extend_from_slice(&codec::disconnect(None));
                Ok(Next::Close)
            }
            NOTIFY if is_agreed && frame.flags & FIN != 0 => {
                codec::ack(out, &frame, FIN);
                notices.push(frame.payload);
                Ok(Next::GoOn)
            }
            NOTIFY if is_agreed => {
                let bytes = BytesMut::from(&*frame.payload);
                self.partial = Some(PartialPayload { stream: frame.stream, number: frame.number, bytes });
                Ok(Next::GoOn)
            }
            UNSET if is_agreed => {
                self.further(&frame, out, notices);
                Ok(Next::GoOn)
            }
            _ => Err(SpopError::Invalid),
        }
    }

    /// A further frame of a payload; one that nobody waits for was given up.
    fn further(&mut self, frame: &SpopFrame, out: &mut Vec<u8>, notices: &mut Vec<Bytes>) {
        let is_next = |partial: &mut PartialPayload| (partial.stream, partial.number) == (frame.stream, frame.number);
        let Some(mut partial) = self.partial.take_if(is_next) else { return };
        if frame.flags & ABORT != 0 {
            return;
        }
        if partial.bytes.len() + frame.payload.len() > MAX_PAYLOAD {
            codec::ack(out, frame, FIN | ABORT);
            return;
        }
        partial.bytes.extend_from_slice(&frame.payload);
        if frame.flags & FIN == 0 {
            self.partial = Some(partial);
            return;
        }
        codec::ack(out, frame, FIN);
        notices.push(partial.bytes.freeze());
    }
}

fn now() -> Timestamp {
    Timestamp::from_nanos(u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default())
}
