//! Pages of lists: `limit`, an opaque cursor, and where the next page is.

use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Problem;
use super::problem_catalogue;
use super::render::json;

/// The longest page.
pub(super) const LIMIT_MAX: u32 = 1_000;
/// The length of a page by default.
pub(super) const LIMIT_DEFAULT: u32 = 100;

/// How long the page is to be.
pub(super) fn limit(asked: Option<u32>) -> Result<usize, Problem> {
    let limit = asked.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit is {limit}, not within 1 to {LIMIT_MAX}");
        return Err(Problem::new(&problem_catalogue::MALFORMED_QUERY, detail).with("field", "limit"));
    }
    Ok(limit as usize)
}

/// A cursor that is a number inside.
pub(super) fn cursor(after: Option<&str>) -> Result<Option<u64>, Problem> {
    let invalid =
        || Problem::new(&problem_catalogue::MALFORMED_QUERY, "this cursor is not one of ours").with("field", "after");
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let number = after.map(|text| text.parse().ok().filter(|_| is_plain(text)).ok_or_else(invalid));
    let number: Option<u64> = number.transpose()?;
    // The journal counts in 63 bits.
    if number.is_some_and(|number| i64::try_from(number).is_err()) { Err(invalid()) } else { Ok(number) }
}

/// The first page of what was found, one more than fits at most: the one too many says that there is another page, whose
/// cursor is that of the last on this one.
pub(super) fn cut<T>(mut found: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(cursor);
    (found, next)
}

/// One page of a list; `next` is the cursor of the page after it, if there is one.
pub(super) fn respond<T: Serialize>(uri: &Uri, page: &T, next: Option<&str>) -> Response {
    let mut response = json(page).into_response();
    if let Some(link) = next.and_then(|next| HeaderValue::try_from(next_link(uri, next)).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The same request with another cursor (RFC 8288).
fn next_link(uri: &Uri, next: &str) -> String {
    let others = uri.query().unwrap_or_default().split('&');
    let others = others.filter(|pair| !pair.is_empty() && pair.split('=').next() != Some("after"));
    let mut query = others.fold(String::new(), |query, pair| query + pair + "&");
    query.push_str("after=");
    percent_encode(next, &mut query);
    format!("<{}?{query}>; rel=\"next\"", uri.path())
}

/// All but the unreserved characters of RFC 3986 §2.3.
pub(super) fn percent_encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                const HEX: &[u8; 16] = b"0123456789ABCDEF";
                out.extend(['%', char::from(HEX[usize::from(byte >> 4)]), char::from(HEX[usize::from(byte & 15)])]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_same_request_with_another_cursor() {
        let uri = Uri::from_static("/v1/topologies?limit=2&after=a&x=y");
        assert_eq!(next_link(&uri, "b c"), "</v1/topologies?limit=2&x=y&after=b%20c>; rel=\"next\"");
        assert_eq!(next_link(&Uri::from_static("/v1"), "1"), "</v1?after=1>; rel=\"next\"");
    }

    #[test]
    fn one_too_many_says_that_there_is_another_page() {
        let cut = |found: &[u8]| cut(found.to_vec(), 2, u8::to_string);
        assert_eq!(cut(&[1]), (vec![1], None));
        assert_eq!(cut(&[1, 2]), (vec![1, 2], None));
        assert_eq!(cut(&[1, 2, 3]), (vec![1, 2], Some("2".to_owned())));
        assert_eq!(cut(&[]), (vec![], None));
    }

    #[test]
    fn cursors_are_plain_numbers() {
        assert_eq!(cursor(Some("17")).unwrap(), Some(17));
        assert!(cursor(Some("+1")).is_err() && cursor(Some("")).is_err());
        assert!(cursor(Some("9223372036854775808")).is_err());
    }
}
