//! The ordinary differential equations that lead from z_0 to z_1.
//!
//! Diffusion has the probability-flow ODE dz/dλ = ½[√ᾱ û − ᾱ z] in λ = log SNR, with ᾱ = σ(λ). In λ the
//! derivative of the noise schedule drops out, and nothing is singular. Flow matching has dz/dt = v_θ(z, x,
//! t) (paper eq. 13). On its straight paths the velocity is of order 1 at all times, so the flow is solved in
//! t itself.

use burn::tensor::{Device, Tensor, TensorData};

use super::WalkContext;
use super::ddim::with_constant;
use crate::network::{FlowField, Process};
use crate::schedule::{FlowPath, NoiseSchedule, SchedulePoint};

/// An ordinary differential equation dz/ds = f(z, t) in a variable s that grows with t.
pub trait Ode {
    /// The process at the fractions `shares` (n of them, each in [0, 1]) of the way in s from t = 0 to t = 1,
    /// with every field `[n, 1]`. A sampler asks for the points inside of all its steps at once, when a walk
    /// begins: a learned schedule has to be inverted for them, which costs more than a step.
    fn at(&self, shares: &[f64]) -> SchedulePoint;

    /// The derivative dz/ds at latents `z` `[b, d]` and the time of `now`.
    fn slope(&self, z: Tensor<2>, now: &SchedulePoint) -> Slope;

    /// The difference of s between two times, `[1, 1]`.
    fn step_size(&self, from: &SchedulePoint, to: &SchedulePoint) -> Tensor<2>;

    /// The latents at the end of a step from `from` to `to`. An explicit method computed `z_next` from `z`,
    /// with the derivative `first` at the beginning of the step. The result is `z_next`, unless the step is
    /// too long for an explicit method.
    fn guard(
        &self,
        _z: Tensor<2>,
        _first: &Slope,
        _from: &SchedulePoint,
        _to: &SchedulePoint,
        z_next: Tensor<2>,
    ) -> Tensor<2> {
        z_next
    }
}

/// The process at t_0 … t_T of the walk `context`, with every field `[T + 1, 1]`, and the ordinary differential
/// equation that leads from z_0 to z_1; `None` for processes with blocks and for a plain classifier.
pub fn ode<'a>(context: &'a WalkContext<'a>) -> Option<(SchedulePoint, Box<dyn Ode + 'a>)> {
    match context.process() {
        Process::Diffusion(model) => {
            let ode = ProbabilityFlow::new(context, model.schedule);
            Some((model.schedule.at(context.times()), Box::new(ode)))
        }
        Process::Flow(field, path) => {
            let ode = FlowOde::new(context, field, path);
            Some((path.at(context.times()), Box::new(ode)))
        }
        Process::Discrete(_) | Process::Gated(..) | Process::Direct(_) => None,
    }
}

impl<O: Ode + ?Sized> Ode for Box<O> {
    fn at(&self, shares: &[f64]) -> SchedulePoint {
        (**self).at(shares)
    }

    fn slope(&self, z: Tensor<2>, now: &SchedulePoint) -> Slope {
        (**self).slope(z, now)
    }

    fn step_size(&self, from: &SchedulePoint, to: &SchedulePoint) -> Tensor<2> {
        (**self).step_size(from, to)
    }

    fn guard(
        &self,
        z: Tensor<2>,
        first: &Slope,
        from: &SchedulePoint,
        to: &SchedulePoint,
        z_next: Tensor<2>,
    ) -> Tensor<2> {
        (**self).guard(z, first, from, to, z_next)
    }
}

/// The numbers `values` as a column `[n, 1]`.
pub(super) fn column(values: &[f64], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    let rows = values.len();
    Tensor::from_data(TensorData::new(values, [rows, 1]), device)
}

/// The right-hand side of an [`Ode`] at one place.
#[derive(Debug, Clone)]
pub struct Slope {
    /// The derivative dz/ds, `[b, d]`.
    pub value: Tensor<2>,
    /// The estimate û from which the derivative follows, `[b, d]`.
    pub u_hat: Tensor<2>,
}

/// The derivative dz/dλ = ½[√ᾱ û − ᾱ z] `[b, d]` of the probability-flow ODE, from `u_hat` and `z` `[b, d]`
/// and `alpha_bar` `[1, 1]`.
pub fn probability_flow_velocity(
    u_hat: Tensor<2>,
    z: Tensor<2>,
    alpha_bar: Tensor<2>,
) -> Tensor<2> {
    (alpha_bar.clone().sqrt() * u_hat - alpha_bar * z).mul_scalar(0.5)
}

/// The longest step h of λ that an explicit method takes. Where ᾱ is near 1, a step multiplies errors by 1 −
/// ½h (Euler) or 1 − ½h + ⅛h² (Heun): beyond h = 4 errors grow, and from h = 3 on they hardly shrink. Even
/// steps in λ make h as small as T allows. If T is so small that h is still longer, DDIM makes the step
/// instead, which is stable for any h.
pub const LONGEST_STEP: f64 = 3.0;

/// The number of steps T from which on no step is longer than [`LONGEST_STEP`], since γ stays within ±30.
const ALWAYS_SHORT: usize = 20;

/// The probability-flow ODE in λ.
pub(super) struct ProbabilityFlow<'a> {
    context: &'a WalkContext<'a>,
    schedule: &'a NoiseSchedule,
}

impl<'a> ProbabilityFlow<'a> {
    pub(super) fn new(context: &'a WalkContext<'a>, schedule: &'a NoiseSchedule) -> Self {
        Self { context, schedule }
    }
}

impl Ode for ProbabilityFlow<'_> {
    fn at(&self, shares: &[f64]) -> SchedulePoint {
        let shares = column(shares, &self.context.device());
        self.schedule.at(self.schedule.times_at_log_snr(shares).0)
    }

    fn slope(&self, z: Tensor<2>, now: &SchedulePoint) -> Slope {
        let u_hat = self.context.u_hat_at(0, z.clone(), now.t.clone());
        Slope {
            value: probability_flow_velocity(u_hat.clone(), z, now.alpha_bar.clone()),
            u_hat,
        }
    }

    fn step_size(&self, from: &SchedulePoint, to: &SchedulePoint) -> Tensor<2> {
        to.log_snr.clone() - from.log_snr.clone()
    }

    fn guard(
        &self,
        z: Tensor<2>,
        first: &Slope,
        from: &SchedulePoint,
        to: &SchedulePoint,
        z_next: Tensor<2>,
    ) -> Tensor<2> {
        if self.context.steps() >= ALWAYS_SHORT {
            return z_next;
        }
        let too_long = self.step_size(from, to).greater_scalar(LONGEST_STEP);
        let too_long = too_long.expand(z_next.dims());
        z_next.mask_where(too_long, with_constant(from, to, first.u_hat.clone(), z))
    }
}

/// The velocity field of a flow in t.
pub(super) struct FlowOde<'a> {
    context: &'a WalkContext<'a>,
    field: FlowField<'a>,
    path: &'a FlowPath,
}

impl<'a> FlowOde<'a> {
    pub(super) fn new(
        context: &'a WalkContext<'a>,
        field: FlowField<'a>,
        path: &'a FlowPath,
    ) -> Self {
        Self {
            context,
            field,
            path,
        }
    }
}

impl Ode for FlowOde<'_> {
    fn at(&self, shares: &[f64]) -> SchedulePoint {
        self.path.at(column(shares, &self.context.device()))
    }

    fn slope(&self, z: Tensor<2>, now: &SchedulePoint) -> Slope {
        let seen = self.context.seen(z.clone());
        let value = self
            .field
            .velocity(self.context.features(), seen, now.t.clone());
        Slope {
            u_hat: z + now.t.clone().neg().add_scalar(1.0) * value.clone(),
            value,
        }
    }

    fn step_size(&self, from: &SchedulePoint, to: &SchedulePoint) -> Tensor<2> {
        to.t.clone() - from.t.clone()
    }
}
