//! The PROXY protocol, version 2 (HAProxy's specification, section 2.2): a balancer says from which address a connection
//! comes. A listener that expects it takes no connection without it.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::limits::{HANDSHAKE_WAIT, PROXY_HEADER_BYTES_MAX};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Reads the header in front of everything else. Returns the address of the client; `from`, that of the balancer, for a
/// connection of its own.
pub async fn read_proxy_header<S: AsyncRead + Unpin>(stream: &mut S, from: SocketAddr) -> io::Result<SocketAddr> {
    tokio::time::timeout(HANDSHAKE_WAIT, header(stream, from)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn header<S: AsyncRead + Unpin>(stream: &mut S, from: SocketAddr) -> io::Result<SocketAddr> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).await?;
    let [signature @ .., command, family, high, low] = head;
    let length = u16::from_be_bytes([high, low]);
    if signature != SIGNATURE || command >> 4 != 2 || length > PROXY_HEADER_BYTES_MAX {
        return Err(invalid("invalid PROXY header: not of version 2, or too long"));
    }
    let mut rest = vec![0; usize::from(length)];
    stream.read_exact(&mut rest).await?;
    match (command & 0x0F, family >> 4) {
        // LOCAL, such as a health check, or an address of another kind.
        (0, _) | (1, 0 | 3) => Ok(from),
        (1, 1) => v4(&rest).ok_or_else(|| invalid("invalid PROXY header: it ends before its addresses")),
        (1, 2) => v6(&rest).ok_or_else(|| invalid("invalid PROXY header: it ends before its addresses")),
        _ => Err(invalid("invalid PROXY header: unknown command or family")),
    }
}

/// Source and destination address, source and destination port.
fn v4(rest: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = rest.split_first_chunk::<4>()?;
    let port = rest.get(4..)?.first_chunk::<2>()?;
    Some(SocketAddr::from((Ipv4Addr::from(*source), u16::from_be_bytes(*port))))
}

fn v6(rest: &[u8]) -> Option<SocketAddr> {
    let (source, rest) = rest.split_first_chunk::<16>()?;
    let port = rest.get(16..)?.first_chunk::<2>()?;
    Some(SocketAddr::from((Ipv6Addr::from(*source), u16::from_be_bytes(*port))))
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> io::Result<SocketAddr> {
        read_proxy_header(&mut &*bytes, "127.0.0.1:9".parse().unwrap()).await
    }

    fn with(command: u8, family: u8, addresses: &[u8]) -> Vec<u8> {
        let length = u16::try_from(addresses.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, addresses].concat()
    }

    #[tokio::test]
    async fn headers_name_the_client() {
        let v4 = with(0x21, 0x11, &[192, 0, 2, 1, 10, 0, 0, 1, 0x1F, 0x90, 7, 0x5B, 3, 0, 1, 9]);
        assert_eq!(read(&v4).await.unwrap(), "192.0.2.1:8080".parse().unwrap());
        let mut addresses = [0; 36];
        (addresses[0], addresses[1], addresses[15], addresses[33]) = (0x20, 0x01, 1, 80);
        assert_eq!(read(&with(0x21, 0x21, &addresses)).await.unwrap(), "[2001::1]:80".parse().unwrap());
        for local in [with(0x20, 0, &[]), with(0x21, 0, &[]), with(0x21, 0x31, &[0; 216])] {
            assert_eq!(read(&local).await.unwrap(), "127.0.0.1:9".parse().unwrap());
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused() {
        let short = with(0x21, 0x11, &[1, 2, 3]);
        let long = with(0x21, 0x11, &vec![0; usize::from(PROXY_HEADER_BYTES_MAX) + 1]);
        for bytes in [b"PROXY TCP4 192.0.2.1 10.0.0.1 1 2\r\n".to_vec(), with(0x11, 0x11, &[0; 12]), short, long] {
            assert_eq!(read(&bytes).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        assert_eq!(read(&with(0x22, 0x11, &[0; 12])).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(b"\x10\x0c").await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
