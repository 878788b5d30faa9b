//! A hash that two models share only if all their weights are equal, whatever files they came from.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{FloatDType, Tensor};
use sha2::{Digest, Sha256};

use super::OpenedModel;
use crate::format::hex;

impl OpenedModel {
    /// The SHA-256 of all weights as they were loaded: the path, the shape and the numbers as f32 of each.
    ///
    /// # Errors
    /// If the device fails, as a sentence.
    pub fn digest(&self) -> Result<String, String> {
        let mut hasher = Hasher { hash: Sha256::new(), path: Vec::new(), error: None };
        hasher.path = vec!["text_encoder".into()];
        self.text_encoder.visit(&mut hasher);
        hasher.path = vec!["unet".into()];
        self.unet.visit(&mut hasher);
        hasher.path = vec!["vae".into()];
        self.vae.visit(&mut hasher);
        match hasher.error {
            Some(error) => Err(format!("The weights cannot be read back from the device ({error})")),
            None => Ok(hex(&hasher.hash.finalize())),
        }
    }
}

struct Hasher {
    hash: Sha256,
    path: Vec<String>,
    error: Option<String>,
}

impl ModuleVisitor for Hasher {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let weight = param.val();
        self.hash.update(format!("{}{:?}", self.path.join("."), weight.dims()));
        let data = weight.cast(FloatDType::F32).try_into_data().map_err(|error| format!("{error:?}"));
        match data.and_then(|data| data.try_into_vec::<f32>().map_err(|error| format!("{error:?}"))) {
            Ok(values) => {
                let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                self.hash.update(bytes);
            }
            Err(error) => self.error = Some(error),
        }
    }
}
