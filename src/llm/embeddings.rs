//! A request for embeddings, and its answer, in no dialect.
//!
//! Numbers of vectors are f64, so that what a provider wrote in decimals is written again as the same
//! number, whether it came from an f32 or an f64.

use super::content::{DialectJson, Media};
use super::usage::Usage;

/// A request for one vector per input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddingsRequest {
    /// The model, as the provider names it.
    pub model: String,
    /// What is embedded, in order.
    pub inputs: Vec<EmbeddingsInput>,
    /// Length of the vectors, where the model has several.
    pub dimensions: Option<u64>,
    /// How the client wants the numbers.
    pub encoding: VectorEncoding,
    /// What the vectors are for.
    pub purpose: Option<Purpose>,
    /// The end user, for the vendor's abuse checks.
    pub user: Option<String>,
    /// Members of the request that its dialect alone knows, by name.
    pub extra_fields: Vec<(String, DialectJson)>,
}

/// Something to embed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddingsInput {
    /// Words.
    Text(String),
    /// Words as the ids of the model's own tokens.
    Tokens(Vec<u64>),
    /// A picture.
    Image(Media),
}

/// How the numbers of a vector are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VectorEncoding {
    /// As an array of decimals.
    #[default]
    Floats,
    /// As f32, little-endian, in base64.
    Base64,
}

/// What vectors are for. Models that know it make other vectors for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be found.
    Document,
    /// To find with.
    Query,
    /// To be sorted into known classes.
    Classification,
    /// To be grouped.
    Clustering,
    /// To be compared with its like.
    Similarity,
    /// To find what answers this question.
    Question,
    /// To find evidence for or against this claim.
    Fact,
    /// To find code with.
    CodeQuery,
}

/// The vectors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EmbeddingsAnswer {
    /// The provider's id for it; empty where it sends none.
    pub id: String,
    /// The model that answered, as the provider names it; empty where it sends none.
    pub model: String,
    /// One for each input, in the order of the inputs.
    pub vectors: Vec<Vec<f64>>,
    /// Its usage, where the provider reports it.
    pub usage: Option<Usage>,
}

impl EmbeddingsRequest {
    /// The same request in parts of at most `inputs_max` inputs, for providers that take no more; their
    /// answers make one through [`EmbeddingsAnswer::joined`].
    pub fn parts(&self, inputs_max: usize) -> impl Iterator<Item = Self> {
        let common = Self { inputs: Vec::new(), ..self.clone() };
        self.inputs
            .chunks(inputs_max.max(1))
            .map(move |inputs| Self { inputs: inputs.to_vec(), ..common.clone() })
    }
}

impl EmbeddingsAnswer {
    /// The answer to a request from those to its parts, in their order. Usage is set if all responses have it.
    #[must_use]
    pub fn joined(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut parts = parts.into_iter();
        let Some(mut whole) = parts.next() else { return Self::default() };
        for part in parts {
            whole.vectors.extend(part.vectors);
            whole.usage = whole.usage.zip(part.usage).map(|(sum, more)| Usage {
                input_tokens: sum.input_tokens.saturating_add(more.input_tokens),
                output_tokens: sum.output_tokens.saturating_add(more.output_tokens),
                cached_tokens: sum.cached_tokens.saturating_add(more.cached_tokens),
                input_image_tokens: sum.input_image_tokens.saturating_add(more.input_image_tokens),
                estimated: sum.estimated || more.estimated,
                ..sum
            });
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batched_request_merges_its_responses() {
        let text = |number: usize| EmbeddingsInput::Text(number.to_string());
        let request = EmbeddingsRequest {
            model: "m".to_owned(),
            inputs: (0..5).map(text).collect(),
            ..EmbeddingsRequest::default()
        };
        for (inputs_max, expected) in
            [(0, vec![1; 5]), (1, vec![1; 5]), (2, vec![2, 2, 1]), (9, vec![5])]
        {
            let parts: Vec<EmbeddingsRequest> = request.parts(inputs_max).collect();
            let sizes: Vec<usize> = parts.iter().map(|part| part.inputs.len()).collect();
            assert_eq!(sizes, expected, "{inputs_max}");
            assert!(parts.iter().all(|part| part.model == "m"));
            let inputs: Vec<_> = parts.into_iter().flat_map(|part| part.inputs).collect();
            assert_eq!(inputs, request.inputs);
        }
        let answer = |number: f64, tokens: Option<u64>| EmbeddingsAnswer {
            id: String::new(),
            model: "m".to_owned(),
            vectors: vec![vec![number]],
            usage: tokens.map(|input_tokens| Usage { input_tokens, ..Usage::default() }),
        };
        let whole = EmbeddingsAnswer::joined([answer(1.0, Some(2)), answer(2.0, Some(3))]);
        assert_eq!(whole.vectors, [[1.0], [2.0]]);
        assert_eq!(whole.usage.map(|usage| usage.input_tokens), Some(5));
        let whole = EmbeddingsAnswer::joined([answer(1.0, Some(2)), answer(2.0, None)]);
        assert_eq!(whole.usage, None);
        assert_eq!(EmbeddingsAnswer::joined([]), EmbeddingsAnswer::default());
    }
}
