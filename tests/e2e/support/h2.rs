//! A server that writes the frames of HTTP/2 which a test lists, over TLS.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

type Connection = StreamOwned<ServerConnection, TcpStream>;

/// What is sent for one request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The frames, on the stream of the request.
    pub frames: Vec<Frame>,
    /// Whether the connection is closed after them.
    pub closes: bool,
}

/// A frame of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub enum Frame {
    /// DATA, without END_STREAM.
    Data(&'static [u8]),
    /// GOAWAY with NO_ERROR, which names no stream as processed.
    GoAway,
    /// HEADERS with the status 200 and a `content-length`, without END_STREAM.
    Head(&'static [u8]),
    /// DATA with END_STREAM.
    LastData(&'static [u8]),
    /// RST_STREAM with an error code.
    Reset(u32),
}

/// A server whose certificate is in a file.
#[derive(Debug)]
pub struct H2Server {
    pub url: String,
    pub certificate: PathBuf,
}

impl H2Server {
    /// Sends one reply per request, in this order, on whatever connections they come.
    pub fn start(dir: &Path, replies: Vec<Reply>) -> Self {
        let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let certificate = dir.join("h2.pem");
        std::fs::write(&certificate, signed.cert.pem()).unwrap();
        let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        thread::spawn(move || serve(&listener, &Arc::new(config), replies));
        Self { url, certificate }
    }
}

fn serve(listener: &TcpListener, config: &Arc<ServerConfig>, replies: Vec<Reply>) {
    let mut replies = replies.into_iter().peekable();
    while replies.peek().is_some() {
        let (stream, _) = listener.accept().unwrap();
        let tls = ServerConnection::new(Arc::clone(config)).unwrap();
        let mut connection = StreamOwned::new(tls, stream);
        let mut preface = [0; 24];
        connection.read_exact(&mut preface).unwrap();
        write(&mut connection, SETTINGS, 0, 0, &[]);
        while let Some(request) = next_request(&mut connection) {
            let Some(reply) = replies.next() else { return };
            for frame in &reply.frames {
                send(&mut connection, *frame, request);
            }
            if reply.closes {
                close(connection);
                break;
            }
        }
    }
}

/// Ends the connection once the client has: what it sends meanwhile would make a reset of the
/// end, which may discard the frames before it.
fn close(mut connection: Connection) {
    let _closed = connection.sock.shutdown(Shutdown::Write);
    let _closed = std::io::copy(&mut connection.sock, &mut std::io::sink());
}

/// Reads to the head of the next request and returns its stream; `None` when the client closes.
fn next_request(connection: &mut Connection) -> Option<u32> {
    loop {
        let mut head = [0; 9];
        connection.read_exact(&mut head).ok()?;
        let [a, b, c, kind, _flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        connection.read_exact(&mut payload).ok()?;
        if kind == HEADERS {
            return Some(u32::from_be_bytes(stream));
        }
    }
}

fn send(connection: &mut Connection, frame: Frame, stream: u32) {
    match frame {
        Frame::Data(data) => write(connection, DATA, 0, stream, data),
        Frame::GoAway => write(connection, GOAWAY, 0, 0, &[0; 8]),
        Frame::Head(len) => {
            // HPACK: `:status: 200` and `content-length` by their place in the static table.
            let mut block = vec![0x88, 0x0f, 0x0d, u8::try_from(len.len()).unwrap()];
            block.extend_from_slice(len);
            write(connection, HEADERS, END_HEADERS, stream, &block);
        }
        Frame::LastData(data) => write(connection, DATA, END_STREAM, stream, data),
        Frame::Reset(code) => write(connection, RST_STREAM, 0, stream, &code.to_be_bytes()),
    }
}

fn write(connection: &mut Connection, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = len[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    // A client that has seen enough closes first.
    let _closed = connection.write_all(&frame);
    let _closed = connection.flush();
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
