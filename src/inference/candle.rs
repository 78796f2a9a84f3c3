//! The reference embedder: candle's BERT in f32, on any CPU, or on a GPU.
//!
//! Ten times slower than the fused pass at the length of a prompt; the reference for its accuracy.
//! A GPU is used if the crate is built with the feature `cuda` and one is present; that path has
//! been compiled but not run.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};

use super::{
    Checkpoint, DIMENSIONS, EmbedError, Embedder, Embedding, ModelError, TokenIds, check_tokens,
};

/// Sequences per batch on a CPU: 8 tokens take a third of the time in a batch of 8.
const BATCH_MAX_CPU: usize = 8;

/// Sequences per batch on a GPU, which is idle with fewer.
const BATCH_MAX_GPU: usize = 64;

/// Runs on any machine.
#[must_use]
pub(super) fn is_available() -> bool {
    true
}

/// Loads the model onto the GPU if there is one, otherwise into memory.
pub(super) fn open(checkpoint: &Checkpoint) -> Result<Box<dyn Embedder>, ModelError> {
    let device = device()?;
    let config: Config = serde_json::from_str(checkpoint.config_json())
        .map_err(|error| ModelError::Candle { reason: error.to_string() })?;
    let weights = checkpoint.weights().to_vec();
    let variables = VarBuilder::from_buffered_safetensors(weights, DType::F32, &device);
    let model = variables.and_then(|variables| BertModel::load(variables, &config));
    let model = model.map_err(|error| ModelError::Candle { reason: error.to_string() })?;
    let vocabulary = checkpoint.config().vocab_size;
    Ok(Box::new(Reference { model: Arc::new(model), device, vocabulary }))
}

/// The first GPU, if the crate is built for it.
fn device() -> Result<Device, ModelError> {
    Device::cuda_if_available(0).map_err(|error| ModelError::Candle { reason: error.to_string() })
}

struct Reference {
    model: Arc<BertModel>,
    device: Device,
    /// Size of the vocabulary.
    vocabulary: usize,
}

impl Embedder for Reference {
    fn version(&self) -> &'static str {
        "candle-1"
    }

    fn batch_max(&self) -> usize {
        if self.device.is_cpu() { BATCH_MAX_CPU } else { BATCH_MAX_GPU }
    }

    fn embed(&mut self, sequences: &[TokenIds]) -> Result<Vec<Embedding>, EmbedError> {
        for ids in sequences {
            check_tokens(ids, self.vocabulary)?;
        }
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let states = self.forward(sequences);
        let states = states.map_err(|error| EmbedError::Candle { reason: error.to_string() })?;
        let embed = |(states, ids): (Vec<f32>, &TokenIds)| {
            // Masks the padding of shorter sequences.
            let own = states.get(..ids.len() * DIMENSIONS).unwrap_or(&states);
            Embedding::mean_of(own)
        };
        Ok(states.into_iter().zip(sequences).map(embed).collect())
    }

    fn share(&self) -> Box<dyn Embedder> {
        Box::new(Self {
            model: Arc::clone(&self.model),
            device: self.device.clone(),
            vocabulary: self.vocabulary,
        })
    }
}

impl Reference {
    /// The last hidden states of each sequence, each `longest × DIMENSIONS`.
    fn forward(&self, sequences: &[TokenIds]) -> candle_core::Result<Vec<Vec<f32>>> {
        let longest = sequences.iter().map(|ids| ids.len()).max().unwrap_or(0);
        let shape = (sequences.len(), longest);
        let mut ids = Vec::with_capacity(sequences.len() * longest);
        let mut mask = Vec::with_capacity(sequences.len() * longest);
        for sequence in sequences {
            let padding = longest - sequence.len();
            ids.extend(sequence.iter().copied().chain(std::iter::repeat_n(0, padding)));
            mask.extend(std::iter::repeat_n(1_u32, sequence.len()));
            mask.extend(std::iter::repeat_n(0_u32, padding));
        }
        let ids = Tensor::from_vec(ids, shape, &self.device)?;
        let mask = Tensor::from_vec(mask, shape, &self.device)?;
        let types = ids.zeros_like()?;
        let states = self.model.forward(&ids, &types, Some(&mask))?;
        states.flatten_from(1)?.to_vec2()
    }
}
