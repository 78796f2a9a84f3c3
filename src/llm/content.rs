//! What a turn of a conversation, or an answer, is made of: the parts that every dialect's content is
//! read into and written from.
//!
//! A part holds what the dialects can express, not how one of them writes it. What only its own dialect
//! understands stays as it came, in [`Content::Raw`], and goes back to that dialect alone.

use super::base64::{decode_base64, encode_base64};
use super::dialect::Dialect;
use super::json::Json;

/// One turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    /// The author of a turn.
    pub role: Role,
    /// OpenAI's name of the speaker.
    pub name: Option<String>,
    /// The parts, in order. Tool results are parts of a turn of [`Role::Tool`].
    pub parts: Vec<Part>,
}

/// The author of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The operator of the application.
    System,
    /// The same, as OpenAI's newer models call it.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// The application, with what its tools gave.
    Tool,
}

/// One part of a turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Its content.
    pub content: Content,
    /// The provider is to cache the prompt up to and with this part.
    pub cache: Option<CachePoint>,
}

/// How long a cached prompt lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePoint {
    /// The vendor's default, five minutes.
    Default,
    /// An hour.
    Hour,
}

/// The content of a part.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Words.
    Text(Text),
    /// A picture.
    Image(Image),
    /// Sound.
    Audio(Media),
    /// Moving pictures.
    Video(Media),
    /// A document, such as a PDF.
    File(File),
    /// The model calls a tool.
    ToolCall(ToolCall),
    /// What a tool gave.
    ToolResult(ToolResult),
    /// What the model thought.
    Reasoning(Reasoning),
    /// The model will not answer; its words.
    Refusal(String),
    /// Known to one dialect only, as that dialect wrote it.
    Raw(DialectJson),
}

/// Words, and where they are from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// The words.
    pub text: String,
    /// Sources, in the order of the provider.
    pub citations: Vec<Citation>,
}

/// A source of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Citation {
    /// Part of the text that it supports, in characters, end excluded.
    pub span: Option<(u64, u64)>,
    /// Address of the source.
    pub url: Option<String>,
    /// Title of the source.
    pub title: Option<String>,
    /// The text of the source.
    pub quote: Option<String>,
    /// The whole citation as its dialect wrote it.
    pub original: Option<DialectJson>,
}

/// Bytes of some type, or where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// Media type, such as `image/png`, where it is known.
    pub media_type: Option<String>,
    /// The bytes.
    pub source: MediaSource,
}

/// Where bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaSource {
    /// Here, in base64 without a prefix.
    Base64(String),
    /// At this address.
    Url(String),
    /// At the provider, under this id.
    Id(String),
}

/// A picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its bytes.
    pub media: Media,
    /// OpenAI's `detail`: how closely the model looks.
    pub detail: Option<String>,
}

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes. A plain text is of type `text/plain` and in base64 too.
    pub media: Media,
    /// Its name or title.
    pub name: Option<String>,
    /// Context for the model, which it does not cite.
    pub context: Option<String>,
    /// The model is to cite it.
    pub with_citations: bool,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolCall {
    /// Unique in the conversation.
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON text of the arguments as the model wrote it: usually an object; empty means none.
    pub arguments: String,
    /// Proof of the thought behind the call, which Gemini wants back.
    pub signature: Option<Signature>,
}

/// What a tool gave.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// Id of the call.
    pub id: String,
    /// Name of the tool, where the dialect has it.
    pub name: Option<String>,
    /// Its words, pictures or documents.
    pub parts: Vec<Part>,
    /// The tool failed.
    pub is_error: bool,
}

/// What the model thought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasoning {
    /// Id of the item, where there is one.
    pub id: Option<String>,
    /// The thought or its summary; empty where it is not shown.
    pub text: String,
    /// Proof that the thought is the model's, to be sent back unchanged.
    pub signature: Option<Signature>,
    /// The thought itself, sealed by the vendor.
    pub sealed: Option<Signature>,
}

/// Opaque text of one vendor, which only that vendor understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Whose it is.
    pub dialect: Dialect,
    /// As the vendor wrote it.
    pub text: String,
}

/// Something that one dialect alone can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialectJson {
    /// Whose it is.
    pub dialect: Dialect,
    /// As it came.
    pub json: Json,
}

/// Between the dialect's name and the text, in a signature that travels in another dialect.
const MARK: char = '#';

impl Signature {
    /// Reads a signature that came in `dialect`. One that was given to a client of another dialect
    /// names its dialect.
    #[must_use]
    pub fn read(dialect: Dialect, text: &str) -> Self {
        let marked = text.split_once(MARK);
        let owned = marked.and_then(|(name, rest)| Some((Dialect::of_name(name)?, rest)));
        let (dialect, text) = owned.unwrap_or((dialect, text));
        Self { dialect, text: text.to_owned() }
    }

    /// The text for a client of `dialect`, from which [`Signature::read`] makes the same again.
    #[must_use]
    pub fn write(&self, dialect: Dialect) -> std::borrow::Cow<'_, str> {
        if self.dialect == dialect {
            return (&self.text).into();
        }
        format!("{}{MARK}{}", self.dialect.name(), self.text).into()
    }

    /// The text for a provider of `dialect`: nothing unless it is its own.
    #[must_use]
    pub fn for_provider(&self, dialect: Dialect) -> Option<&str> {
        (self.dialect == dialect).then_some(self.text.as_str())
    }
}

impl Part {
    /// A part without a cache point.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self { content, cache: None }
    }

    /// Words without sources.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new(Content::Text(Text { text: text.to_owned(), citations: Vec::new() }))
    }

    /// The text, if there is nothing else.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text(text) => Some(&text.text),
            _ => None,
        }
    }
}

impl Turn {
    /// A turn of nobody in particular.
    #[must_use]
    pub fn new(role: Role, parts: Vec<Part>) -> Self {
        Self { role, name: None, parts }
    }
}

impl Media {
    /// Bytes in base64.
    #[must_use]
    pub fn base64(media_type: &str, data: &str) -> Self {
        Self {
            media_type: Some(media_type.to_owned()),
            source: MediaSource::Base64(data.to_owned()),
        }
    }

    /// Words as a plain text.
    #[must_use]
    pub fn plain_text(text: &str) -> Self {
        Self::base64("text/plain", &encode_base64(text.as_bytes()))
    }

    /// The words of a text that is here.
    #[must_use]
    pub fn plain_text_content(&self) -> Option<String> {
        let is_text = self.media_type.as_deref().is_some_and(|it| it.starts_with("text/"));
        match &self.source {
            MediaSource::Base64(data) if is_text => String::from_utf8(decode_base64(data)?).ok(),
            _ => None,
        }
    }

    /// What a URL points to; the bytes themselves in a `data:` URL of base64 (RFC 2397).
    #[must_use]
    pub fn of_url(url: &str) -> Self {
        let data = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        match data {
            Some((media_type, data)) => Self::base64(media_type, data),
            None => Self { media_type: None, source: MediaSource::Url(url.to_owned()) },
        }
    }

    /// The URL again; none of what lies at a provider.
    #[must_use]
    pub fn url(&self) -> Option<std::borrow::Cow<'_, str>> {
        match &self.source {
            MediaSource::Url(url) => Some(url.into()),
            MediaSource::Base64(data) => {
                let media_type = self.media_type.as_deref().unwrap_or("application/octet-stream");
                Some(format!("data:{media_type};base64,{data}").into())
            }
            MediaSource::Id(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_return_to_their_dialect() {
        let own = Signature::read(Dialect::AnthropicMessages, "c2ln+/=");
        assert_eq!(own.write(Dialect::AnthropicMessages), "c2ln+/=");
        let abroad = own.write(Dialect::OpenaiChat).into_owned();
        assert_eq!(Signature::read(Dialect::OpenaiChat, &abroad), own);
        assert_eq!(own.for_provider(Dialect::AnthropicMessages), Some("c2ln+/="));
        assert_eq!(own.for_provider(Dialect::Gemini), None);
    }

    #[test]
    fn data_urls_are_decoded() {
        let media = Media::of_url("data:image/png;base64,AAAA");
        assert_eq!(media, Media::base64("image/png", "AAAA"));
        assert_eq!(media.url().as_deref(), Some("data:image/png;base64,AAAA"));
        let far = Media::of_url("https://pictures.example/a.png");
        assert_eq!(far.url().as_deref(), Some("https://pictures.example/a.png"));
        assert_eq!(Media { media_type: None, source: MediaSource::Id("f".into()) }.url(), None);
    }

    #[test]
    fn plain_text_files_are_decoded() {
        assert_eq!(Media::plain_text("Grüße").plain_text_content().as_deref(), Some("Grüße"));
        assert_eq!(Media::base64("text/plain", "/w==").plain_text_content(), None);
        assert_eq!(Media::base64("image/png", "Zm9v").plain_text_content(), None);
    }
}
