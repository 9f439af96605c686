//! The server's side of a conversation: permitted users send commands, and each gets a response.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::{ControlCommand, ControlRequest, MAX_LINE, Socket};

/// Conversations at once; further ones wait until one ends.
const MOST: usize = 16;
/// Longest wait for the next command; then the conversation ends.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause after no conversation could be begun: a limit on files may be in force.
const PAUSE: Duration = Duration::from_millis(100);

/// Listens to words from now on, on a thread of its own, until the socket is dropped with the process.
///
/// # Errors
///
/// Where the system gives no thread, or no second handle of the socket.
pub fn serve(socket: &Socket, steer: ControlRequest) -> io::Result<()> {
    let listener = socket.listener.try_clone()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = {
        let _context = runtime.enter();
        UnixListener::from_std(listener)?
    };
    let owner = socket.owner;
    let thread = std::thread::Builder::new().name("control".to_owned());
    thread.spawn(move || runtime.block_on(listen(listener, owner, steer)))?;
    Ok(())
}

async fn listen(listener: UnixListener, owner: u32, steer: ControlRequest) {
    let places = Arc::new(Semaphore::new(MOST));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let steer = Arc::clone(&steer);
        tokio::spawn(async move {
            // One that breaks off is done with.
            converse(stream, owner, &steer).await.ok();
            drop(place);
        });
    }
}

async fn converse(stream: UnixStream, owner: u32, steer: &ControlRequest) -> io::Result<()> {
    let may_speak = stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0);
    let (from, mut to) = stream.into_split();
    if !may_speak {
        return to.write_all(b"{\"error\":\"this run belongs to another user\"}\n").await;
    }
    let mut from = BufReader::new(from);
    loop {
        let mut line = String::new();
        let mut some = (&mut from).take(MAX_LINE as u64);
        let read = timeout(PATIENCE, some.read_line(&mut line)).await.map_err(io::Error::other)??;
        if read == 0 {
            return Ok(());
        }
        let answer = match line.parse::<ControlCommand>() {
            Ok(word) => steer(word),
            Err(error) => serde_json::json!({ "error": error.to_string() }).to_string(),
        };
        to.write_all(format!("{answer}\n").as_bytes()).await?;
        if !line.ends_with('\n') {
            // It was too long, or it was the last one.
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::sync::Mutex;

    use super::*;

    /// A socket that notes the commands it gets.
    fn served(folder: &tempfile::TempDir) -> (Socket, Arc<Mutex<Vec<String>>>) {
        let socket = Socket::bind(&folder.path().join("run.sock")).unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&said);
        let steer = move |word: ControlCommand| {
            notes.lock().unwrap().push(word.to_string());
            "{}".to_owned()
        };
        serve(&socket, Arc::new(steer)).unwrap();
        (socket, said)
    }

    #[test]
    fn each_word_is_done_and_answered() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, said) = served(&folder);
        let mut stream = UnixStream::connect(socket.path()).unwrap();
        stream.write_all(b"sample 25%\nhalt\nstatus\n").unwrap();
        let mut answers = BufReader::new(stream.try_clone().unwrap()).lines();
        assert_eq!(answers.next().unwrap().unwrap(), "{}");
        assert!(answers.next().unwrap().unwrap().starts_with("{\"error\":\"`halt` is not understood"));
        assert_eq!(answers.next().unwrap().unwrap(), "{}");
        assert_eq!(*said.lock().unwrap(), ["sample 25%", "status"]);
    }

    #[test]
    fn who_says_too_much_is_not_listened_to_and_others_are() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, said) = served(&folder);
        let mut long = UnixStream::connect(socket.path()).unwrap();
        long.write_all(&[b'x'; MAX_LINE]).unwrap();
        let mut answer = String::new();
        long.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("{\"error\":"), "{answer}");
        let mut other = UnixStream::connect(socket.path()).unwrap();
        other.write_all(b"pause").unwrap();
        other.shutdown(std::net::Shutdown::Write).unwrap();
        answer.clear();
        other.read_to_string(&mut answer).unwrap();
        assert_eq!((answer.as_str(), said.lock().unwrap().len()), ("{}\n", 1));
    }
}
