//! Where connections come from: a TCP address, a Unix socket, or a listening socket that the process was started with.
//!
//! An inherited socket comes as the standard input, which a program may duplicate and replace without any `unsafe`; other
//! descriptors can only be taken by number, and nothing would prove that nobody else owns them.

use crate::config::Bind;
use crate::error::{Error, Result};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::{Pid, getppid};
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixSocket, UnixStream};

/// One of two kinds of socket.
pub(crate) enum Either<T, U> {
    Tcp(T),
    Unix(U),
}

/// A connection without ties to a runtime.
pub(crate) type Plain = Either<std::net::TcpStream, unix::UnixStream>;

/// A connection of a runtime.
pub(crate) type Socket = Either<TcpStream, UnixStream>;

/// A connection, and whose it is: those of Unix sockets have no address.
pub(crate) type Came = (Plain, Option<IpAddr>);

/// A listener of a runtime.
pub(crate) struct Listener(Either<tokio::net::TcpListener, tokio::net::UnixListener>);

/// One without ties to a runtime.
pub(crate) struct PlainListener(Either<std::net::TcpListener, unix::UnixListener>);

impl Listener {
    /// Listens, within a runtime.
    pub(crate) fn new(bind: &Bind, backlog: u32) -> Result<Self> {
        let listened = match bind {
            Bind::Tcp(address) => tcp(*address, backlog),
            Bind::Unix(path) => socket_file(path, backlog),
            Bind::Inherited => inherited(),
        };
        listened.map(Self).map_err(|source| Error::Listen { bind: bind.clone(), source })
    }

    /// Where it listens.
    pub(crate) fn bound(&self) -> io::Result<Bind> {
        match &self.0 {
            Either::Tcp(listener) => listener.local_addr().map(Bind::Tcp),
            Either::Unix(listener) => {
                let address = listener.local_addr()?;
                Ok(address.as_pathname().map_or(Bind::Inherited, |path| Bind::Unix(path.to_owned())))
            }
        }
    }

    /// The next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Came>> {
        // To a worker's runtime it must come without ties to this one.
        match &self.0 {
            Either::Tcp(listener) => {
                let (stream, peer) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(stream.into_std().map(|stream| (Either::Tcp(stream), Some(peer.ip()))))
            }
            Either::Unix(listener) => {
                let (stream, _) = ready!(listener.poll_accept(cx))?;
                Poll::Ready(stream.into_std().map(|stream| (Either::Unix(stream), None)))
            }
        }
    }

    pub(crate) fn into_plain(self) -> io::Result<PlainListener> {
        Ok(PlainListener(match self.0 {
            Either::Tcp(listener) => Either::Tcp(listener.into_std()?),
            Either::Unix(listener) => Either::Unix(listener.into_std()?),
        }))
    }

    /// The same socket as the standard input of another process.
    pub(crate) fn as_stdin(&self) -> io::Result<Stdio> {
        let socket = match &self.0 {
            Either::Tcp(listener) => listener.as_fd(),
            Either::Unix(listener) => listener.as_fd(),
        };
        socket.try_clone_to_owned().map(Stdio::from)
    }
}

impl PlainListener {
    pub(crate) fn accept(&self) -> io::Result<Came> {
        match &self.0 {
            Either::Tcp(listener) => {
                listener.accept().map(|(stream, peer)| (Either::Tcp(stream), Some(peer.ip())))
            }
            Either::Unix(listener) => listener.accept().map(|(stream, _)| (Either::Unix(stream), None)),
        }
    }
}

type Listened = Either<tokio::net::TcpListener, tokio::net::UnixListener>;

/// A listener that may take over the port of a server that has just ended.
fn tcp(address: std::net::SocketAddr, backlog: u32) -> io::Result<Listened> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog).map(Either::Tcp)
}

/// A Unix socket; one that a process left behind which listens no more is replaced.
fn socket_file(path: &Path, backlog: u32) -> io::Result<Listened> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket && is_left_behind(path)? {
        std::fs::remove_file(path)?;
    }
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    socket.listen(backlog).map(Either::Unix)
}

/// Whether nobody listens on a socket file. Asked without waiting: a server whose queue of connections is full listens too.
fn is_left_behind(path: &Path) -> io::Result<bool> {
    let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    let asked = rustix::net::connect(&socket, &SocketAddrUnix::new(path)?);
    Ok(asked == Err(rustix::io::Errno::CONNREFUSED))
}

/// The standard input, which is then nothing: the socket closes when its last listener does.
fn inherited() -> io::Result<Listened> {
    let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    // The systems of Apple cannot tell.
    #[cfg(not(target_vendor = "apple"))]
    if !rustix::net::sockopt::socket_acceptconn(&socket)? {
        return Err(io::Error::other("it is a socket that does not listen"));
    }
    let nothing = File::open("/dev/null")?;
    // Of a Unix socket the address is none of TCP's.
    let tcp = std::net::TcpListener::from(socket);
    let listened = if tcp.local_addr().is_ok() {
        tcp.set_nonblocking(true)?;
        Either::Tcp(tokio::net::TcpListener::from_std(tcp)?)
    } else {
        let unix = unix::UnixListener::from(OwnedFd::from(tcp));
        unix.local_addr()?;
        unix.set_nonblocking(true)?;
        Either::Unix(tokio::net::UnixListener::from_std(unix)?)
    };
    rustix::stdio::dup2_stdin(nothing)?;
    Ok(listened)
}

/// The file of a Unix socket, which whoever listens last removes: it is removed when this is dropped, also where a start fails.
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Its device and number: another of this name is another server's.
    file: Option<(u64, u64)>,
    /// Who gave us the socket, if we did not make it.
    from: Option<Pid>,
}

fn file_of(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

impl SocketFile {
    pub(crate) fn of(bind: &Bind, bound: &Bind) -> Option<Self> {
        let Bind::Unix(path) = bound else { return None };
        Some(Self {
            path: path.clone(),
            file: file_of(path),
            from: getppid().filter(|_| *bind == Bind::Inherited),
        })
    }

    /// Leaves the file to a successor.
    pub(crate) fn leave(mut self) {
        self.file = None;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Unless whoever gave us the socket is still there.
        let is_ours = self.file.is_some() && self.file == file_of(&self.path);
        if is_ours && (self.from.is_none() || self.from != getppid()) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Plain {
    pub(crate) fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nonblocking(true),
            Self::Unix(stream) => stream.set_nonblocking(true),
        }
    }

    /// The same for the runtime of this thread.
    pub(crate) fn into_socket(self) -> io::Result<Socket> {
        Ok(match self {
            Self::Tcp(stream) => {
                // A reply is one write: there is nothing for Nagle's algorithm to gather, only to delay.
                stream.set_nodelay(true)?;
                Either::Tcp(TcpStream::from_std(stream)?)
            }
            Self::Unix(stream) => Either::Unix(UnixStream::from_std(stream)?),
        })
    }
}

impl Socket {
    /// Has the system forget, on closing, what the client has not read.
    pub(crate) fn forget(&self) {
        // A Unix socket's client finds what was written in any case.
        if let Self::Tcp(stream) = self {
            let _ = stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// A path that is free, and what a start on it does within a runtime.
    fn listen(path: &Path, backlog: u32) -> Result<Listener> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { Listener::new(&Bind::Unix(path.to_owned()), backlog) })
    }

    fn free(test: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("tilewise-{test}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        path
    }

    /// How many connections are accepted by the system alone, up to 40.
    fn held(path: &Path) -> usize {
        let connect = || {
            let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
            rustix::io::ioctl_fionbio(&socket, true).unwrap();
            rustix::net::connect(&socket, &SocketAddrUnix::new(path).unwrap()).is_ok().then_some(socket)
        };
        (0..40).map_while(|_| connect()).collect::<Vec<_>>().len()
    }

    #[test]
    fn the_backlog_is_that_of_unix_sockets_too() {
        let path = free("backlog");
        for (backlog, expected) in [(1, 2), (20, 21)] {
            let listener = listen(&path, backlog).unwrap();
            // Linux holds one more than it is asked to.
            assert_eq!(held(&path), expected);
            drop(listener);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_full_queue_of_another_server_holds_up_no_start() {
        let path = free("full");
        let other = listen(&path, 1).unwrap();
        let held: Vec<_> = (0..2).map(|_| unix::UnixStream::connect(&path).unwrap()).collect();
        let (send, answer) = std::sync::mpsc::channel();
        let of_thread = path.clone();
        std::thread::spawn(move || send.send(listen(&of_thread, 1).map(drop).map_err(|e| e.to_string())));
        let told = answer.recv_timeout(std::time::Duration::from_secs(20)).expect("it waits").unwrap_err();
        assert!(told.contains("in use") && path.exists(), "{told}");
        // Once nobody listens, the file is nobody's.
        drop((held, other));
        listen(&path, 1).unwrap();
        std::fs::remove_file(&path).unwrap();
    }
}
