//! A model's folder on disk: `config.json`, `model.safetensors`, `tokenizer.json`.
//!
//! Everything is checked before use: a truncated or unsupported file is an error that names it,
//! never a panic. The weights are read whole (91 MB), so that no later change of the file affects a
//! running embedder.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::{DIMENSIONS, ModelError, TOKENS_MAX};
use crate::base::open_to_read;

/// The largest file that is read, so that a wrong path cannot exhaust the memory.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// A model's files, read and checked as far as all embedders need.
pub struct Checkpoint {
    directory: PathBuf,
    config: BertConfig,
    config_json: String,
    weights: Vec<u8>,
    fingerprint: String,
}

/// The members of `config.json` that the forward pass depends on.
#[derive(Debug, Deserialize)]
pub(super) struct BertConfig {
    model_type: String,
    hidden_act: String,
    hidden_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f64,
    num_attention_heads: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) num_hidden_layers: usize,
    pub(super) type_vocab_size: usize,
    pub(super) vocab_size: usize,
    #[serde(default)]
    position_embedding_type: Option<String>,
}

impl Checkpoint {
    /// Reads a model's folder.
    ///
    /// # Errors
    /// If a file is missing, unreadable, too large, or not a BERT of MiniLM's shape.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        let config_file = directory.join("config.json");
        let config_json = String::from_utf8(read(&config_file)?).map_err(|error| {
            ModelError::Config { path: config_file.clone(), reason: error.to_string() }
        })?;
        let config: BertConfig = serde_json::from_str(&config_json).map_err(|error| {
            ModelError::Config { path: config_file.clone(), reason: error.to_string() }
        })?;
        config
            .check()
            .map_err(|reason| ModelError::Config { path: config_file.clone(), reason })?;
        let weights = read(&directory.join("model.safetensors"))?;
        let mut hasher = blake3::Hasher::new();
        hasher.update(config_json.as_bytes()).update(&weights);
        let fingerprint = hasher.finalize().to_hex().chars().take(16).collect();
        let checkpoint =
            Self { directory: directory.to_owned(), config, config_json, weights, fingerprint };
        checkpoint.tensors()?;
        Ok(checkpoint)
    }

    /// Path of the folder.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// 16 hexadecimal digits that identify the weights and their configuration.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn config(&self) -> &BertConfig {
        &self.config
    }

    pub(super) fn config_json(&self) -> &str {
        &self.config_json
    }

    /// The safetensors file as read.
    pub(super) fn weights(&self) -> &[u8] {
        &self.weights
    }

    /// A two-dimensional f32 tensor, row-major.
    pub(super) fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Vec<f32>, ModelError> {
        self.tensor(name, &shape)
    }

    /// A one-dimensional f32 tensor.
    pub(super) fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, ModelError> {
        self.tensor(name, &[length])
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        let odd = |reason: String| ModelError::Tensor {
            path: self.weights_path(),
            name: name.to_owned(),
            reason,
        };
        let tensors = self.tensors()?;
        let view = tensors.tensor(name).map_err(|error| odd(error.to_string()))?;
        if view.dtype() != Dtype::F32 || view.shape() != shape {
            return Err(odd(format!(
                "expected F32 {shape:?}, found {:?} {:?}",
                view.dtype(),
                view.shape()
            )));
        }
        let (numbers, _) = view.data().as_chunks();
        let numbers: Vec<f32> = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if numbers.iter().all(|number| number.is_finite()) {
            Ok(numbers)
        } else {
            Err(odd("holds a number that is not finite".to_owned()))
        }
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, ModelError> {
        SafeTensors::deserialize(&self.weights).map_err(|error| ModelError::Weights {
            path: self.weights_path(),
            reason: error.to_string(),
        })
    }

    fn weights_path(&self) -> PathBuf {
        self.directory.join("model.safetensors")
    }
}

impl BertConfig {
    /// Checks that the embedders support this shape; the error says what differs.
    fn check(&self) -> Result<(), String> {
        let rules = [
            ("model_type", self.model_type == "bert", "\"bert\"".to_owned()),
            ("hidden_act", self.hidden_act == "gelu", "\"gelu\"".to_owned()),
            ("hidden_size", self.hidden_size == DIMENSIONS, DIMENSIONS.to_string()),
            (
                "intermediate_size",
                self.intermediate_size == 4 * DIMENSIONS,
                (4 * DIMENSIONS).to_string(),
            ),
            ("num_attention_heads", self.num_attention_heads == 12, "12".to_owned()),
            ("layer_norm_eps", self.layer_norm_eps <= 1e-9, "at most 1e-9".to_owned()),
            ("num_hidden_layers", (1..=48).contains(&self.num_hidden_layers), "1 to 48".to_owned()),
            ("type_vocab_size", (1..=16).contains(&self.type_vocab_size), "1 to 16".to_owned()),
            ("vocab_size", (1..=1 << 20).contains(&self.vocab_size), "1 to 1048576".to_owned()),
            (
                "max_position_embeddings",
                (TOKENS_MAX..=1 << 16).contains(&self.max_position_embeddings),
                format!("{TOKENS_MAX} to 65536"),
            ),
            (
                "position_embedding_type",
                self.position_embedding_type.as_deref().is_none_or(|it| it == "absolute"),
                "\"absolute\"".to_owned(),
            ),
        ];
        let broken = rules.into_iter().find(|(_, holds, _)| !holds);
        broken.map_or(Ok(()), |(member, _, expected)| {
            Err(format!("expected {member} to be {expected}"))
        })
    }
}

/// A whole file, up to the size limit.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ModelError> {
    let failed = |source| ModelError::Read { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(failed)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(ModelError::Size { path: path.to_owned(), bytes, bytes_max: FILE_BYTES_MAX });
    }
    let mut bytes = Vec::new();
    let file = open_to_read(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SampleFolder, config};
    use super::super::{EMBEDDERS, LocalModel};
    use super::*;

    /// Opens the folder with every kind of embedder, and returns the error.
    fn diagnostic(folder: &SampleFolder) -> String {
        let diagnostics = EMBEDDERS.iter().filter(|kind| (kind.is_available)()).map(|kind| {
            let opened = LocalModel::open_kind(folder.path(), kind);
            opened.err().expect("a bad model is refused").to_string()
        });
        diagnostics.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn truncated_file_is_rejected() {
        let folder = SampleFolder::new();
        for name in ["config.json", "model.safetensors", "tokenizer.json"] {
            let whole = folder.read(name);
            for length in [0, 1, 7, 8, 9, 100, whole.len() / 2, whole.len() - 1] {
                folder.write(name, &whole[..length]);
                assert!(diagnostic(&folder).contains(name), "{name} cut at {length}");
            }
            folder.write(name, &whole);
        }
        assert!(LocalModel::open(folder.path()).is_ok(), "whole again");
    }

    #[test]
    fn wrong_shape_is_named() {
        let folder = SampleFolder::new();
        for (member, value) in [
            ("hidden_size", serde_json::json!(768)),
            ("hidden_act", "relu".into()),
            ("model_type", "roberta".into()),
            ("num_attention_heads", 6.into()),
            ("num_hidden_layers", 0.into()),
            ("max_position_embeddings", 128.into()),
            ("vocab_size", (-1).into()),
        ] {
            let mut changed = config();
            changed[member] = value;
            folder.write("config.json", changed.to_string().as_bytes());
            let diagnostic = diagnostic(&folder);
            assert!(
                diagnostic.contains(member) || member == "vocab_size",
                "{member}: {diagnostic}"
            );
        }
    }

    #[test]
    fn missing_or_wrong_tensor_is_named() {
        let folder = SampleFolder::new();
        for (member, value) in [("num_hidden_layers", 3), ("vocab_size", 41)] {
            let mut changed = config();
            changed[member] = value.into();
            folder.write("config.json", changed.to_string().as_bytes());
            let diagnostic = diagnostic(&folder);
            let name = if value == 3 { "encoder.layer.2" } else { "word_embeddings" };
            assert!(diagnostic.lines().next().is_some_and(|it| it.contains(name)), "{diagnostic}");
        }
    }

    #[test]
    fn fingerprint_follows_the_weights() {
        let folder = SampleFolder::new();
        let before = Checkpoint::open(folder.path()).expect("the small model").fingerprint;
        let mut weights = folder.read("model.safetensors");
        let middle = weights.len() / 2;
        weights[middle] ^= 1;
        folder.write("model.safetensors", &weights);
        let after = Checkpoint::open(folder.path()).expect("still a model").fingerprint;
        assert_eq!((before.len(), after.len()), (16, 16));
        assert_ne!(before, after);
    }
}
