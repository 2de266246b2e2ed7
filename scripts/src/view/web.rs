//! The page of the viewer, from the viewer's own server, for a browser that is told to reach nobody else.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

/// A browser that says nothing for so long is gone.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest request or head of an answer, bytes.
const MAX_HEAD: u64 = 16 * 1024;

/// Serves what another server on this machine serves, with a content security policy: the page would report to its
/// makers and load fonts from elsewhere.
pub(super) struct PageServer {
    listener: TcpListener,
    inner_port: u16,
    policy: String,
}

impl PageServer {
    /// For the page at `inner_port`, which gets its data from `data_port`.
    pub(super) fn new(listener: TcpListener, inner_port: u16, data_port: u16) -> Self {
        let sources = "'self' 'unsafe-inline' 'wasm-unsafe-eval' blob: data:";
        Self {
            listener,
            inner_port,
            policy: format!(
                "Content-Security-Policy: default-src {sources}; \
                 connect-src 'self' blob: data: http://localhost:{data_port} http://127.0.0.1:{data_port}\r\n"
            ),
        }
    }

    /// Serves from a thread of its own, until this program ends.
    pub(super) fn start(self) -> io::Result<()> {
        let server = Arc::new(self);
        thread::Builder::new()
            .name("page".to_owned())
            .spawn(move || {
                for browser in server.listener.incoming().flatten() {
                    let server = Arc::clone(&server);
                    // Without a thread the browser asks again.
                    let _ = thread::Builder::new().spawn(move || server.answer(&browser));
                }
            })
            .map(drop)
    }

    /// Answers one request; a browser that leaves early is no error.
    fn answer(&self, browser: &TcpStream) -> io::Result<()> {
        browser.set_read_timeout(Some(TIMEOUT))?;
        browser.set_write_timeout(Some(TIMEOUT))?;
        let mut request = String::new();
        let mut lines = BufReader::new(browser.take(MAX_HEAD));
        lines.read_line(&mut request)?;
        let mut rest = String::new();
        while lines.read_line(&mut rest)? > 2 {
            rest.clear();
        }
        let mut browser = browser;
        let mut words = request.split_whitespace();
        let (Some("GET"), Some(path)) = (words.next(), words.next()) else {
            return browser
                .write_all(b"HTTP/1.0 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
        };

        let mut inner = TcpStream::connect((Ipv4Addr::LOCALHOST, self.inner_port))?;
        inner.set_read_timeout(Some(TIMEOUT))?;
        // By this version the answer ends with the connection.
        write!(inner, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = BufReader::new(inner);
        let mut status = String::new();
        answer.by_ref().take(MAX_HEAD).read_line(&mut status)?;
        browser.write_all(status.as_bytes())?;
        browser.write_all(self.policy.as_bytes())?;
        io::copy(&mut answer, &mut browser)?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a helper of a test fails like the test")]
mod tests {
    use super::*;

    /// What a server says about one request.
    fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn pages_pass_with_a_policy_and_nothing_but_pages_passes() {
        let inner = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let inner_port = inner.local_addr().unwrap().port();
        let asked = thread::spawn(move || {
            let (stream, _) = inner.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            (&stream)
                .write_all(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<p>page</p>")
                .unwrap();
            line
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        PageServer::new(listener, inner_port, 1234).start().unwrap();

        let refused = ask(port, "POST /x HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.0 405"), "{refused}");
        let answer = ask(port, "GET /?url=b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(asked.join().unwrap(), "GET /?url=b HTTP/1.0\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "<p>page</p>");
        let policy = head
            .lines()
            .find(|line| line.starts_with("Content-Security-Policy: "));
        let policy = policy.unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK") && head.contains("Content-Type: text/html"));
        assert!(
            policy.ends_with("http://localhost:1234 http://127.0.0.1:1234"),
            "{policy}"
        );
        assert!(
            !policy.contains('*') && !policy.contains("https:"),
            "{policy}"
        );
    }
}
