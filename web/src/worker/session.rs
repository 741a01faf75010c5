//! The state of one worker: the engine, the test images, an evaluation under way.

use burn::tensor::Device;
use noprop_protocol::{Backend, Ready, Request, Response, SelfTest, Walk};

use super::{browser, files};
use crate::bundled::Bundled;
use crate::engine::{AccuracyRun, Engine, Failure, Plane, self_test};

/// The state of a worker.
pub struct Session {
    backend: Backend,
    device: Option<Device>,
    engine: Option<Engine>,
    dataset: Option<Bundled>,
    images: Vec<u8>,
    labels: Vec<u8>,
    reason: String,
    evaluation: Option<Evaluation>,
}

struct Evaluation {
    run: AccuracyRun,
    ms: f64,
}

impl Session {
    /// A session without a model.
    pub fn new(backend: Backend) -> Self {
        Self {
            backend,
            device: None,
            engine: None,
            dataset: None,
            images: Vec::new(),
            labels: Vec::new(),
            reason: String::new(),
            evaluation: None,
        }
    }

    /// Whether an evaluation is under way.
    pub fn is_evaluating(&self) -> bool {
        self.evaluation.is_some()
    }

    /// Does the work of `request` and responds; a failure is a response, too.
    pub async fn serve(&mut self, request: Request) {
        // A file that cannot be used is not the device's fault, and the model in use stays.
        let replaces = matches!(request, Request::Load { .. });
        if let Err(message) = self.answer(request).await {
            self.evaluation = None;
            browser::post(&Response::Error {
                message,
                // A request that fails on WebGPU may succeed on the CPU; without a model none succeeds.
                fatal: (self.backend == Backend::WebGpu && !replaces) || self.engine.is_none(),
            });
        }
    }

    async fn answer(&mut self, request: Request) -> Result<(), Failure> {
        let start = browser::now();
        match request {
            Request::Start {
                weights_url,
                weights_sha256,
                dataset,
                reason,
            } => {
                self.reason = reason;
                let dataset = dataset.as_deref().map(bundled).transpose()?;
                let (bytes, from) = files::weights(&weights_url, &weights_sha256).await?;
                self.dataset = dataset;
                (self.images, self.labels) = match dataset {
                    Some(dataset) => files::test_images(dataset).await?,
                    None => (Vec::new(), Vec::new()),
                };
                let first = (self.images.clone(), self.labels.clone());
                self.load(bytes, from, first, start).await
            }
            Request::Load { bytes, name } => {
                // The model in use stays when the file holds none.
                self.load(bytes, name, (Vec::new(), Vec::new()), start)
                    .await
            }
            Request::Walk {
                id,
                pixels,
                walk,
                seeds,
            } => {
                let engine = self.engine.as_mut().ok_or(NOT_READY)?;
                engine.look(&pixels).await?;
                let features_ms = browser::now() - start;
                let mut walked = engine.walk_image(id, &pixels, &walk, seeds).await?;
                walked.features_ms = features_ms;
                walked.walk_ms = browser::now() - start - features_ms;
                browser::post(&Response::Walk(Box::new(walked)));
                Ok(())
            }
            Request::Field {
                id,
                pixels,
                t,
                axes,
                origin,
                points,
            } => {
                let engine = self.engine.as_mut().ok_or(NOT_READY)?;
                let plane = Plane {
                    axes: &axes,
                    origin: &origin,
                    points: &points,
                };
                let field = engine.field(id, &pixels, t, plane).await?;
                browser::post(&Response::Field(Box::new(field)));
                Ok(())
            }
            Request::Accuracy { id, walk } => {
                let engine = self.engine.as_ref().ok_or(NOT_READY)?;
                self.evaluation = Some(Evaluation {
                    run: AccuracyRun::new(id, walk, engine.classes().len()),
                    ms: 0.0,
                });
                Ok(())
            }
            Request::Cancel => {
                self.evaluation = None;
                Ok(())
            }
            Request::Check { pixels, walks } => self.check(&pixels, &walks, start).await,
        }
    }

    async fn check(&self, pixels: &[u8], walks: &[Walk], start: f64) -> Result<(), Failure> {
        let engine = self.engine.as_ref().ok_or(NOT_READY)?;
        let mut numbers = engine.check(pixels, walks).await?;
        numbers.ms = browser::now() - start;
        browser::post(&Response::Check(Box::new(numbers)));
        Ok(())
    }

    /// Classifies the next images of the evaluation under way, and reports.
    pub async fn evaluate_a_piece(&mut self) {
        let (Some(mut evaluation), Some(engine)) = (self.evaluation.take(), &mut self.engine)
        else {
            return;
        };
        let start = browser::now();
        match evaluation
            .run
            .next(engine, &self.images, &self.labels)
            .await
        {
            Ok(mut progress) => {
                evaluation.ms += browser::now() - start;
                progress.ms = evaluation.ms;
                if !progress.finished {
                    self.evaluation = Some(evaluation);
                }
                browser::post(&Response::Accuracy(Box::new(progress)));
            }
            Err(message) => browser::post(&Response::Error {
                message,
                fatal: self.backend == Backend::WebGpu,
            }),
        }
    }

    /// Checks that the test images have the shape of the model's input.
    fn fits(&self, engine: &Engine) -> Result<(), Failure> {
        let Some(dataset) = self.dataset else {
            return Ok(());
        };
        if engine.shape() == dataset.shape() {
            return Ok(());
        }
        let others = Bundled::ALL.into_iter();
        let fitting = others.filter(|other| other.shape() == engine.shape());
        let choose = fitting.map(Bundled::title).next().map_or_else(
            || "choose weights for such images".to_owned(),
            |title| format!("choose {title} first, or weights for such images"),
        );
        Err(format!(
            "{} has {}, and these weights are for {}; {choose}",
            dataset.title(),
            described(dataset.shape()),
            described(engine.shape())
        ))
    }

    /// Makes the model, tests the device, and reports that the model is ready.
    async fn load(
        &mut self,
        bytes: Vec<u8>,
        weights_from: String,
        (images, labels): (Vec<u8>, Vec<u8>),
        start: f64,
    ) -> Result<(), Failure> {
        let device = match &self.device {
            Some(device) => device.clone(),
            None => open_device(self.backend).await?,
        };
        self.device = Some(device.clone());
        let mut engine = Engine::new(bytes.clone(), self.backend, device)?;
        self.fits(&engine)?;
        let description = engine.describe().await?;
        #[cfg(feature = "gpu")]
        if self.backend == Backend::WebGpu
            && let Err(why) = engine.fuse(bytes.clone()).await
        {
            web_sys::console::warn_1(&format!("walks are not fused: {why}").into());
        }
        let loaded = browser::now();
        let test = match self.backend {
            Backend::Cpu => None,
            // `noprop check` compares the device itself, on images of its own.
            Backend::WebGpu if self.images.is_empty() => None,
            Backend::WebGpu => Some(self_test(&mut engine, bytes, &self.images).await?),
        };
        if let Some(
            test @ SelfTest {
                passed: false,
                images,
                ..
            },
        ) = test
        {
            return Err(format!(
                "WebGPU computes other numbers than the CPU here: probabilities differ by {:.3}, {} of {images} \
                 predictions agree",
                test.max_difference, test.agreeing
            ));
        }
        let ready = Ready {
            backend: engine.backend(),
            reason: self.reason.clone(),
            classes: engine.classes().to_vec(),
            shape: engine.shape().map(|n| n as u32),
            latent_dim: description.latent_dim as u32,
            embeddings: description.embeddings,
            one_hot: description.one_hot,
            is_flow: description.is_flow,
            parameters: description.parameters as u64,
            bundled: !images.is_empty(),
            weights_from,
            log_snr: description.log_snr,
            samplers: description.samplers,
            steps: description.steps,
            recommended: description.recommended,
            self_test: test,
            images,
            labels,
            load_ms: loaded - start,
            warm_up_ms: browser::now() - loaded,
        };
        self.engine = Some(engine);
        browser::post(&Response::Ready(Box::new(ready)));
        Ok(())
    }
}

/// The bundled dataset of this name.
fn bundled(name: &str) -> Result<Bundled, Failure> {
    Bundled::from_name(name).ok_or_else(|| {
        let names = Bundled::ALL.map(Bundled::name).join(", ");
        format!("no bundled dataset is called {name:?}, expected one of {names}")
    })
}

/// Opens the device of the backend that this worker was compiled for.
///
/// # Errors
/// When there is no usable WebGPU adapter.
async fn open_device(backend: Backend) -> Result<Device, Failure> {
    match backend {
        Backend::Cpu => Ok(Device::flex()),
        #[cfg(feature = "gpu")]
        Backend::WebGpu => Device::wgpu_options()
            .init_async()
            .await
            .map_err(|e| format!("WebGPU could not be opened ({e})")),
        #[cfg(not(feature = "gpu"))]
        Backend::WebGpu => Err("this engine was built for the CPU".into()),
    }
}

/// The shape of an image in words.
fn described([channels, height, width]: [usize; 3]) -> String {
    let kind = match channels {
        1 => "grey".to_owned(),
        3 => "RGB".to_owned(),
        n => format!("{n}-channel"),
    };
    format!("{kind} images of {width}×{height} pixels")
}

const NOT_READY: &str = "the model is not loaded yet";
