// The entry point `solve` walks from z_0 to z_1 in one dispatch. A workgroup takes four samples through all T
// steps and keeps their activations in workgroup memory. It takes four samples because fetching a weight
// costs more than multiplying by it: a mat4x4 holds four numbers (rows) of four samples (columns). The entry
// point `estimate` evaluates the denoiser once, at t_0: it gives dz/dλ and the class probabilities of each
// sample.
//
// The host writes the following constants in front of this text. Widths count groups of four numbers; the places
// that only fill up the last group are zero.
//   LATENT, WIDTH, FIRST, SECOND, CLASSES   widths of z, encoding of z, hidden layers, logits
//   LATENT_ENTERS                           whether z itself enters the first layer
//   SKIP                                    whether the logits contain the part that z decides in closed form
//   LABEL_WEIGHT, LABEL_BIAS, LABEL_SHARE, LATENT_SHARE, SECOND_WEIGHT, SECOND_BIAS,
//   THIRD_WEIGHT, THIRD_BIAS, EMBEDDING, SKIP_WEIGHT, SKIP_BIAS     where in `weights` each matrix starts, row-major
//   THREADS                                 size of a workgroup

struct Walk {
    steps: u32,
    // DDIM, EULER or HEUN.
    sampler: u32,
    // 1 if z at all T + 1 times goes to `result`, 0 for z_1 alone.
    record: u32,
    // The number of samples that share a row of `fused`.
    seeds: u32,
    samples: u32,
}

const DDIM = 0u;
const EULER = 1u;

@group(0) @binding(0) var<uniform> walk: Walk;
@group(0) @binding(1) var<storage, read> weights: array<vec4<f32>>;
// ᾱ, 1 − ᾱ, λ = log SNR and √ᾱ/(1−ᾱ) (0 without SKIP) at each of the times t_0 … t_T.
@group(0) @binding(2) var<storage, read> grid: array<vec4<f32>>;
// The time's share of the first layer, [T + 1, FIRST].
@group(0) @binding(3) var<storage, read> time_share: array<vec4<f32>>;
// The features' share of the first layer, [images, FIRST].
@group(0) @binding(4) var<storage, read> fused: array<vec4<f32>>;
// The latents to start from, [samples, LATENT].
@group(0) @binding(5) var<storage, read> z_0: array<vec4<f32>>;
// The result of `solve` is z, [samples, T + 1 or 1, LATENT]; that of `estimate` is dz/dλ and the class
// probabilities side by side, [samples, LATENT + CLASSES].
@group(0) @binding(6) var<storage, read_write> result: array<vec4<f32>>;

// One array for the inputs and outputs of all layers, so that one function multiplies for all.
const Z = 0u;
const LABEL = Z + LATENT;
const HIDDEN = LABEL + WIDTH;
const HIDDEN_2 = HIDDEN + FIRST;
const SCORES = HIDDEN_2 + SECOND;
var<workgroup> activations: array<mat4x4<f32>, SCORES + CLASSES>;
// The first half of a step of Heun: z at the start of the step, and dz/dλ there.
var<workgroup> start: array<mat4x4<f32>, LATENT>;
var<workgroup> slope: array<mat4x4<f32>, LATENT>;

// Group `column` of the columns of the product of the activations at `input` (`rows` groups) and the matrix at
// `matrix` in `weights`.
fn product(input: u32, rows: u32, matrix: u32, columns: u32, column: u32) -> mat4x4<f32> {
    var sum = mat4x4<f32>();
    for (var i = 0u; i < rows; i++) {
        let w = matrix + 4u * i * columns + column;
        sum += mat4x4<f32>(
            weights[w],
            weights[w + columns],
            weights[w + 2u * columns],
            weights[w + 3u * columns],
        ) * activations[input + i];
    }
    return sum;
}

// A matrix with the numbers x for each of the four samples.
fn each(x: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(x, x, x, x);
}

fn relu(x: mat4x4<f32>) -> mat4x4<f32> {
    let zero = vec4<f32>();
    return mat4x4<f32>(max(x[0], zero), max(x[1], zero), max(x[2], zero), max(x[3], zero));
}

fn highest(x: vec4<f32>) -> f32 {
    return max(max(x.x, x.y), max(x.z, x.w));
}

fn sum(x: vec4<f32>) -> f32 {
    return x.x + x.y + x.z + x.w;
}

// The indices of the four samples of a workgroup. Where samples are missing the last one repeats.
fn rows(first: u32) -> vec4<u32> {
    return min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(walk.samples - 1u));
}

fn fused_at(images: vec4<u32>, j: u32) -> mat4x4<f32> {
    return mat4x4<f32>(
        fused[images.x * FIRST + j],
        fused[images.y * FIRST + j],
        fused[images.z * FIRST + j],
        fused[images.w * FIRST + j],
    );
}

// Evaluates the denoiser at z (the activations at Z) and t_k, and leaves exp(logits − max) in the activations at
// SCORES.
fn denoise(thread: u32, first: u32, k: u32) {
    for (var j = thread; j < WIDTH; j += THREADS) {
        activations[LABEL + j] = relu(
            each(weights[LABEL_BIAS + j]) + product(Z, LATENT, LABEL_WEIGHT, WIDTH, j));
    }
    workgroupBarrier();
    let images = rows(first) / walk.seeds;
    for (var j = thread; j < FIRST; j += THREADS) {
        var x = fused_at(images, j) + each(time_share[k * FIRST + j]);
        x += product(LABEL, WIDTH, LABEL_SHARE, FIRST, j);
        if (LATENT_ENTERS) {
            x += product(Z, LATENT, LATENT_SHARE, FIRST, j);
        }
        activations[HIDDEN + j] = relu(x);
    }
    workgroupBarrier();
    for (var j = thread; j < SECOND; j += THREADS) {
        activations[HIDDEN_2 + j] = relu(
            each(weights[SECOND_BIAS + j]) + product(HIDDEN, FIRST, SECOND_WEIGHT, SECOND, j));
    }
    workgroupBarrier();
    for (var j = thread; j < CLASSES; j += THREADS) {
        var x = each(weights[THIRD_BIAS + j]) + product(HIDDEN_2, SECOND, THIRD_WEIGHT, CLASSES, j);
        if (SKIP) {
            // √ᾱ/(1−ᾱ) z·u_y − SNR ‖u_y‖²/2
            let now = grid[k];
            x += now.w * product(Z, LATENT, SKIP_WEIGHT, CLASSES, j);
            x += each((now.x / now.y) * weights[SKIP_BIAS + j]);
        }
        activations[SCORES + j] = x;
    }
    workgroupBarrier();
    var top = activations[SCORES];
    for (var c = 1u; c < CLASSES; c++) {
        let x = activations[SCORES + c];
        top = mat4x4<f32>(
            max(top[0], x[0]), max(top[1], x[1]), max(top[2], x[2]), max(top[3], x[3]));
    }
    let largest = vec4<f32>(highest(top[0]), highest(top[1]), highest(top[2]), highest(top[3]));
    workgroupBarrier();
    for (var j = thread; j < CLASSES; j += THREADS) {
        let x = activations[SCORES + j];
        activations[SCORES + j] = mat4x4<f32>(
            exp(x[0] - largest.x),
            exp(x[1] - largest.y),
            exp(x[2] - largest.z),
            exp(x[3] - largest.w),
        );
    }
    workgroupBarrier();
}

// Divides x, which is linear in exp(logits − max), by the sum of exp(logits − max) over the classes. This
// completes the softmax.
fn normalise(x: mat4x4<f32>) -> mat4x4<f32> {
    var total = mat4x4<f32>();
    for (var c = 0u; c < CLASSES; c++) {
        total += activations[SCORES + c];
    }
    return mat4x4<f32>(
        x[0] / sum(total[0]), x[1] / sum(total[1]), x[2] / sum(total[2]), x[3] / sum(total[3]));
}

// Four coordinates (group i) of û = softmax(logits) · W_Embed.
fn u_hat(i: u32) -> mat4x4<f32> {
    return normalise(product(SCORES, CLASSES, EMBEDDING, LATENT, i));
}

// Four coordinates (group i) of dz/dλ = ½[√ᾱ û − ᾱ z] at t_k.
fn velocity(i: u32, k: u32) -> mat4x4<f32> {
    let alpha_bar = grid[k].x;
    return 0.5 * (sqrt(alpha_bar) * u_hat(i) - alpha_bar * activations[Z + i]);
}

// Four coordinates (group i) of z after a step of DDIM from t_k, which is exact for a constant û.
fn ddim(i: u32, k: u32) -> mat4x4<f32> {
    let here = grid[k];
    let next = grid[k + 1u];
    let keep = sqrt(next.y / here.y);
    return (sqrt(next.x) - keep * sqrt(here.x)) * u_hat(i) + keep * activations[Z + i];
}

// Fetches z_0 of the samples of the workgroup.
fn load(thread: u32, first: u32) {
    let sample = rows(first);
    for (var i = thread; i < LATENT; i += THREADS) {
        activations[Z + i] = mat4x4<f32>(
            z_0[sample.x * LATENT + i],
            z_0[sample.y * LATENT + i],
            z_0[sample.z * LATENT + i],
            z_0[sample.w * LATENT + i],
        );
    }
}

// Writes x as group `place` of the `stride` groups that each sample has in the result.
fn put(first: u32, stride: u32, place: u32, x: mat4x4<f32>) {
    for (var s = 0u; s < min(4u, walk.samples - first); s++) {
        result[(first + s) * stride + place] = x[s];
    }
}

// Writes z as row `row` of the `count` rows of each sample.
fn write(thread: u32, first: u32, count: u32, row: u32) {
    for (var i = thread; i < LATENT; i += THREADS) {
        put(first, count * LATENT, row * LATENT + i, activations[Z + i]);
    }
}

@compute @workgroup_size(THREADS)
fn solve(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = 4u * group.x;
    load(thread, first);
    if (walk.record == 1u) {
        write(thread, first, walk.steps + 1u, 0u);
    }
    workgroupBarrier();
    for (var k = 0u; k < walk.steps; k++) {
        let h = grid[k + 1u].z - grid[k].z;
        denoise(thread, first, k);
        if (walk.sampler == DDIM) {
            for (var i = thread; i < LATENT; i += THREADS) {
                activations[Z + i] = ddim(i, k);
            }
        } else if (walk.sampler == EULER) {
            for (var i = thread; i < LATENT; i += THREADS) {
                activations[Z + i] += h * velocity(i, k);
            }
        } else {
            for (var i = thread; i < LATENT; i += THREADS) {
                start[i] = activations[Z + i];
                slope[i] = velocity(i, k);
                activations[Z + i] = start[i] + h * slope[i];
            }
            workgroupBarrier();
            denoise(thread, first, k + 1u);
            for (var i = thread; i < LATENT; i += THREADS) {
                activations[Z + i] = start[i] + 0.5 * h * (slope[i] + velocity(i, k + 1u));
            }
        }
        if (walk.record == 1u) {
            write(thread, first, walk.steps + 1u, k + 1u);
        }
        workgroupBarrier();
    }
    if (walk.record == 0u) {
        write(thread, first, 1u, 0u);
    }
}

@compute @workgroup_size(THREADS)
fn estimate(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    let first = 4u * group.x;
    load(thread, first);
    workgroupBarrier();
    denoise(thread, first, 0u);
    for (var i = thread; i < LATENT; i += THREADS) {
        put(first, LATENT + CLASSES, i, velocity(i, 0u));
    }
    for (var j = thread; j < CLASSES; j += THREADS) {
        put(first, LATENT + CLASSES, LATENT + j, normalise(activations[SCORES + j]));
    }
}
