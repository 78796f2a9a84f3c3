//! Images that a request names by `https` addresses, fetched for a provider that takes bytes only.
//!
//! Off unless the operator allows it. A name is looked up once, each of its addresses is held against
//! `[egress]`, and the connection goes to the address that was checked. No redirect is followed; size,
//! time and number are bounded. What was fetched serves all attempts of its request.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};

use super::client_request;
use super::edits::BodyEdit;
use crate::base::Instant;
use crate::dialects::{ProviderCodec, client_codec, provider_codec};
use crate::gateway::context::{
    Body, BodyReader, FetchedImages, GatewayError, Request, RequestContext, each_image,
    media_type_is,
};
use crate::gateway::worker::Worker;
use crate::http::{HeadLimits, Method, ResponseHead};
use crate::llm::{ChatRequest, Dialect, Media, MediaSource, encode_base64};
use crate::providers::{BaseUrl, Host};
use crate::shard::{Connection, HostName, Peer, client_tls, within};
use crate::telemetry::Counter;

/// Images of one request, at most; vendors take no more than 20 in one message.
const IMAGES_MAX: usize = 20;

/// Images of one request that are fetched at a time.
const FETCHED_AT_A_TIME: usize = 4;

/// Requests of one shard that fetch images at a time, at most.
const REQUESTS_MAX: u32 = 16;

/// Bytes of one image, at most. Vendors take 4 to 5 MB.
const IMAGE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// All images of a request have to be there by then.
const TOTAL: Duration = Duration::from_secs(15);

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 3;

/// Longest address of an image.
const ADDRESS_BYTES_MAX: usize = 8 * 1024;

const HEAD: HeadLimits =
    HeadLimits { head_bytes_max: 16 * 1024, target_bytes_max: 0, fields_max: 100 };

/// The addresses of images that have to be fetched before the request can be written for a provider
/// of `provider`; none where that is not allowed.
pub(crate) fn missing(
    context: &RequestContext<'_>,
    request: &Request,
    edits: &[BodyEdit],
    (client, provider): (Dialect, Dialect),
) -> Result<Vec<String>, GatewayError> {
    let Body::Json { bytes, .. } = &request.body else { return Ok(Vec::new()) };
    let is_conversation = request.endpoint.chat_dialect().is_some();
    let (true, true, Some(provider)) = (
        context.snapshot.settings.egress.fetch_pictures,
        is_conversation,
        provider_codec(provider),
    ) else {
        return Ok(Vec::new());
    };
    if memchr::memmem::find(bytes, b"https:").is_none() {
        return Ok(Vec::new());
    }
    let mut chat_request = client_request::read(context, request, edits, client_codec(client))?;
    Ok(wanted(&mut chat_request, provider, &request.images))
}

fn wanted(
    chat_request: &mut ChatRequest,
    provider: &dyn ProviderCodec,
    images: &FetchedImages,
) -> Vec<String> {
    let mut found = Vec::new();
    for turn in &mut chat_request.turns {
        each_image(&mut turn.parts, &mut |media| {
            let MediaSource::Url(url) = &media.source else { return };
            let is_wanted = url.starts_with("https://") && provider.needs_bytes_of(media);
            if is_wanted && !images.has(url) && !found.contains(url) {
                found.push(url.clone());
            }
        });
    }
    found
}

/// Fetches images for the request.
///
/// # Errors
/// If one of them cannot be had.
pub(crate) async fn fetch(
    context: &RequestContext<'_>,
    request: &Request,
    urls: Vec<String>,
) -> Result<(), GatewayError> {
    if urls.len() > IMAGES_MAX {
        let text = format!("expected at most {IMAGES_MAX} pictures by address in one request");
        return Err(GatewayError::Invalid(text.into()));
    }
    let _permit =
        FetchPermit::take(context.worker).ok_or(GatewayError::Overloaded("picture fetches"))?;
    let limit = Instant::now().after(TOTAL);
    let fetches = stream::iter(urls).map(|url| async move {
        let image = ImageAddress::parse(&url)?;
        let refused = |reason| {
            context.worker.recorder().count(Counter::PictureErrors);
            image.failure(reason)
        };
        let fetched = within(limit, get(context, &image)).await;
        let media =
            fetched.map_err(|_| refused("it took too long")).and_then(|it| it.map_err(refused));
        media.map(|media| (url, media))
    });
    let fetched: Vec<(String, Media)> =
        fetches.buffer_unordered(FETCHED_AT_A_TIME).try_collect().await?;
    for (url, media) in fetched {
        context.worker.recorder().count(Counter::PicturesFetched);
        if let MediaSource::Base64(text) = &media.source {
            context.reserve_memory(text.len())?;
        }
        request.images.insert(url, media);
    }
    Ok(())
}

/// Leave to fetch, given back when it is dropped.
struct FetchPermit<'w>(&'w Worker);

impl<'w> FetchPermit<'w> {
    fn take(worker: &'w Worker) -> Option<Self> {
        worker.try_start_fetch(REQUESTS_MAX).then_some(Self(worker))
    }
}

impl Drop for FetchPermit<'_> {
    fn drop(&mut self) {
        self.0.end_fetch();
    }
}

/// Where an image is.
#[derive(Debug, PartialEq, Eq)]
struct ImageAddress {
    name: HostName,
    port: u16,
    /// As the field `host` has it.
    authority: String,
    /// Path and query, with what may not stand there escaped.
    target: String,
}

impl ImageAddress {
    fn parse(url: &str) -> Result<Self, GatewayError> {
        let refused = || {
            let text = "expected the address of a picture to be a plain https:// URL";
            GatewayError::Invalid(text.into())
        };
        let rest = url.strip_prefix("https://").filter(|_| url.len() <= ADDRESS_BYTES_MAX);
        let rest = rest.ok_or_else(refused)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let base = BaseUrl::parse(&format!("https://{authority}")).map_err(|_| refused())?;
        let path = path.split('#').next().unwrap_or_default();
        let mut target = String::with_capacity(path.len() + 1);
        if !path.starts_with('/') {
            target.push('/');
        }
        for byte in path.bytes() {
            match byte {
                b'!'..=b'~' => target.push(char::from(byte)),
                _ => target.push_str(&format!("%{byte:02X}")),
            }
        }
        let name = match base.host {
            Host::Dns(name) => HostName::Dns(name),
            Host::Ipv4(address) => HostName::Address(address.into()),
            Host::Ipv6(address) => HostName::Address(address.into()),
        };
        Ok(Self { name, port: base.port, authority: base.authority, target })
    }

    fn failure(&self, reason: &'static str) -> GatewayError {
        GatewayError::Image { host: self.authority.clone(), reason }
    }

    /// The addresses that may be connected to.
    async fn resolve(&self, context: &RequestContext<'_>) -> Result<Vec<IpAddr>, &'static str> {
        let (host, addresses) = match &self.name {
            HostName::Address(address) => (self.authority.as_str(), vec![*address]),
            HostName::Dns(host) => {
                let found = context.worker.dialer().resolve(host).await;
                (host.as_str(), found.map_err(|_| "its name has no address")?)
            }
        };
        let egress = &context.snapshot.settings.egress;
        // One address that is not public is enough to refuse the name.
        if addresses.iter().all(|address| egress.allows(host, self.port, *address)) {
            Ok(addresses)
        } else {
            Err("its address is not public (egress.allow_hosts lists others that may be reached)")
        }
    }
}

/// Fetches one image.
async fn get(context: &RequestContext<'_>, image: &ImageAddress) -> Result<Media, &'static str> {
    let addresses = image.resolve(context).await?;
    let tls = client_tls(&image.name, context.snapshot.roots(), None, None);
    let tls = Some(tls.map_err(|_| "its host is no name that TLS knows")?);
    let mut connected = Err("its name has no address");
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        let name = HostName::Address(address);
        let endpoint = Peer { name, port: image.port, tls: tls.clone() };
        connected = context.worker.dialer().connect(&endpoint).await.map_err(|_| "connect failed");
        if connected.is_ok() {
            break;
        }
    }
    let mut connection = connected?;
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: {}\r\naccept: image/*\r\nuser-agent: ringgate/{}\r\n\
         connection: close\r\n\r\n",
        image.target,
        image.authority,
        env!("CARGO_PKG_VERSION")
    );
    let sent = connection.writer.write_all(request.into_bytes()).await;
    sent.map_err(|_| "its server closed the connection")?;
    let head = read_head(&mut connection).await?;
    let media_type = checked_type(&head)?;
    let body = read_body(&mut connection, &head).await?;
    Ok(Media::base64(&media_type, &encode_base64(&body)))
}

async fn read_head(connection: &mut Connection) -> Result<ResponseHead, &'static str> {
    let mut head = ResponseHead::default();
    loop {
        let parsed = head.parse(connection.reader.bytes(), Method::Get, &HEAD);
        match parsed.map_err(|_| "its server does not speak HTTP/1.1")? {
            Some(taken) => {
                connection.reader.consume(taken);
                return Ok(head);
            }
            None => match connection.reader.fill().await {
                Ok(count) if count > 0 => {}
                _ => return Err("its server closed the connection"),
            },
        }
    }
}

/// The media type of an answer that is an image.
fn checked_type(head: &ResponseHead) -> Result<String, &'static str> {
    match head.status() {
        200 => {}
        300..=399 => return Err("its server redirects, which is not followed"),
        _ => return Err("its server does not have it"),
    }
    let is_coded =
        head.get("content-encoding").is_some_and(|it| !it.eq_ignore_ascii_case(b"identity"));
    let value = head.get("content-type").unwrap_or_default();
    let kind = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let kind = String::from_utf8_lossy(kind).to_ascii_lowercase();
    if is_coded || !kind.starts_with("image/") {
        return Err("what its server sends is no picture (its content-type is not image/…)");
    }
    // A usual mistake for it.
    Ok(if media_type_is(value, b"image/jpg") { "image/jpeg".to_owned() } else { kind })
}

async fn read_body(
    connection: &mut Connection,
    head: &ResponseHead,
) -> Result<Vec<u8>, &'static str> {
    const TOO_LARGE: &str = "it has more than 8 MiB";
    let mut body_reader = BodyReader::new(head.framing());
    let mut body = Vec::new();
    loop {
        let drained = body_reader.drain(&mut connection.reader, |run| {
            if body.len() <= IMAGE_BYTES_MAX {
                body.extend_from_slice(run);
            }
        });
        let is_done = drained.map_err(|_| "its server breaks off")?;
        if body.len() > IMAGE_BYTES_MAX {
            return Err(TOO_LARGE);
        }
        if is_done {
            return Ok(body);
        }
        match connection.reader.fill().await {
            Ok(count) if count > 0 => {}
            _ => {
                body_reader.finish().map_err(|_| "its server breaks off")?;
                return Ok(body);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_urls_are_parsed() {
        for (url, expected) in [
            ("https://a.example/x.png", Some(("a.example", 443, "/x.png"))),
            ("https://a.example", Some(("a.example", 443, "/"))),
            ("https://a.example?q=1#f", Some(("a.example", 443, "/?q=1"))),
            ("https://A.example:8443/a b/\u{e9}", Some(("a.example:8443", 8443, "/a%20b/%C3%A9"))),
            ("https://[::1]/x", Some(("[::1]", 443, "/x"))),
            ("https://a.example/\r\nx: y", Some(("a.example", 443, "/%0D%0Ax:%20y"))),
            ("https://user@a.example/x", None),
            ("https:///x", None),
            ("http://a.example/x", None),
            ("https://a.example\r\n/x", None),
        ] {
            let found = ImageAddress::parse(url).ok();
            let found =
                found.as_ref().map(|it| (it.authority.as_str(), it.port, it.target.as_str()));
            assert_eq!(found, expected, "{url}");
        }
    }
}
