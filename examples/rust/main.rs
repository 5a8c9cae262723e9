// softstep from Rust, without a crate. Usage: example DATA TRAINED (safetensors files).
//
//     rustc -O main.rs -L native=PREFIX/lib -l static=softstep -l stdc++ -l gomp -l m

use std::ffi::{c_void, CStr, CString};
use std::os::raw::c_char; // std::ffi has it from Rust 1.64 on; Debian 12 has 1.63
use std::ptr::{null, null_mut};

type Status = i32;

#[repr(C)]
#[derive(Clone, Copy)]
struct Scaled {
    mantissa: f64,
    exponent: f64,
}

#[repr(C)]
struct Batch {
    struct_size: usize,
    number_type: i32,
    reserved: i32,
    tokens: *const c_void,
    n_samples: usize,
    n_tokens: usize,
    dim: usize,
    offsets: *const i64,
    token_stride: usize,
    sample_stride: usize,
    labels: *const i8,
    targets: *const c_void,
    decoder: *const c_void,
    query_index: *const i64,
    queries: *const c_void,
    query_stride: usize,
    all_tokens_are_queries: i32,
    reserved2: i32,
    n_queries: usize,
    query_offsets: *const i64,
    query_weights: *const c_void,
    n_query_weights: usize,
}

#[repr(C)]
struct Evaluation {
    struct_size: usize,
    loss: f64,
    loss_scaled: Scaled,
    loss_gap: Scaled,
    rest: [f64; 4],
}

extern "C" {
    fn softstep_last_message() -> *const c_char;
    fn softstep_require_abi(abi: i32) -> Status;
    fn softstep_dataset_load(path: *const c_char, number_type: i32, out: *mut *mut c_void) -> Status;
    fn softstep_dataset_batch(data: *const c_void, batch: *mut Batch) -> Status;
    fn softstep_dataset_destroy(data: *mut c_void);
    fn softstep_weights_load(path: *const c_char, dim: usize, weights: *mut f64) -> Status;
    fn softstep_attention_model_create(batch: *const Batch, options: *const c_void, out: *mut *mut c_void) -> Status;
    fn softstep_model_destroy(model: *mut c_void);
    fn softstep_workspace_create(model: *const c_void, out: *mut *mut c_void) -> Status;
    fn softstep_workspace_destroy(space: *mut c_void);
    fn softstep_evaluate(model: *const c_void, space: *mut c_void, blocks: *const *const f64, want: u32,
                         samples: *const usize, n_samples: usize, evaluation: *mut Evaluation,
                         gradients: *const *mut f64, exponents: *mut f64) -> Status;
    fn softstep_solve_max_margin(batch: *const Batch, options: *const c_void, weights: *mut f64,
                                 result: *mut c_void) -> Status;
    fn softstep_compare_direction(a: *const f64, b: *const f64, size: usize, one_minus_cos: *mut f64,
                                  angle: *mut f64) -> Status;
    fn softstep_normalized_margin(batch: *const Batch, weights: *const f64, margin: *mut f64) -> Status;
}

fn need(status: Status) {
    if status != 0 {
        eprintln!("{}", unsafe { CStr::from_ptr(softstep_last_message()) }.to_string_lossy());
        std::process::exit(1);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Rule {
    Plain,
    Normalised,
    Polyak,
}

struct Problem {
    data: *mut c_void,
    batch: Batch,
    model: *mut c_void,
    space: *mut c_void,
    limit: Vec<f64>,
    trained: Vec<f64>,
}

impl Problem {
    fn new(data: &str, trained: &str) -> Problem {
        unsafe {
            let mut out = Problem { data: null_mut(), batch: std::mem::zeroed(), model: null_mut(),
                                    space: null_mut(), limit: vec![], trained: vec![] };
            out.batch.struct_size = std::mem::size_of::<Batch>();
            need(softstep_require_abi(1));
            need(softstep_dataset_load(CString::new(data).unwrap().as_ptr(), 0, &mut out.data));
            need(softstep_dataset_batch(out.data, &mut out.batch));
            need(softstep_attention_model_create(&out.batch, null(), &mut out.model));
            need(softstep_workspace_create(out.model, &mut out.space));
            let n = out.batch.dim * out.batch.dim;
            out.limit = vec![0.0; n];
            out.trained = vec![0.0; n];
            need(softstep_solve_max_margin(&out.batch, null(), out.limit.as_mut_ptr(), null_mut()));
            need(softstep_weights_load(CString::new(trained).unwrap().as_ptr(), out.batch.dim,
                                       out.trained.as_mut_ptr()));
            out
        }
    }

    fn descend(&self, run: &str, rule: Rule, n_steps: usize, mut w: Vec<f64>) {
        let mut g = vec![0.0; w.len()];
        let mut moved = 0;
        while moved < n_steps {
            let mut at: Evaluation = unsafe { std::mem::zeroed() };
            at.struct_size = std::mem::size_of::<Evaluation>();
            let mut exponent = 0.0;
            let (blocks, gradients) = ([w.as_ptr()], [g.as_mut_ptr()]);
            need(unsafe {
                softstep_evaluate(self.model, self.space, blocks.as_ptr(), 3, null(), 0, &mut at,
                                  gradients.as_ptr(), &mut exponent)
            });
            let squares: f64 = g.iter().map(|x| x * x).sum();
            let eta = match rule {
                Rule::Plain => f64::exp(exponent),
                Rule::Normalised => 1.0 / squares.sqrt(),
                Rule::Polyak => 2.0 * at.loss_gap.mantissa / squares * f64::exp(at.loss_gap.exponent - exponent),
            };
            if !(eta > 0.0) {
                break;
            }
            for (x, d) in w.iter_mut().zip(&g) {
                *x -= eta * d;
            }
            moved += 1;
        }
        let (mut margin, mut limit, mut trained) = (0.0, 0.0, 0.0);
        unsafe {
            need(softstep_normalized_margin(&self.batch, w.as_ptr(), &mut margin));
            need(softstep_compare_direction(w.as_ptr(), self.limit.as_ptr(), w.len(), &mut limit, null_mut()));
            need(softstep_compare_direction(w.as_ptr(), self.trained.as_ptr(), w.len(), &mut trained, null_mut()));
        }
        let ending = if moved == n_steps { "took all steps" } else { "the step is 0: the gradient underflows" };
        println!("| {:22} | {:28} | {:9} | {:.6} | {:.1e} | {:.1e} | {} |", "Rust", run, moved, margin, limit, trained,
                 ending);
    }
}

impl Drop for Problem {
    fn drop(&mut self) {
        unsafe {
            softstep_workspace_destroy(self.space);
            softstep_model_destroy(self.model);
            softstep_dataset_destroy(self.data);
        }
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.len() != 3 {
        println!("usage: example DATA TRAINED");
        std::process::exit(2);
    }
    let problem = Problem::new(&arguments[1], &arguments[2]);
    let zero = vec![0.0; problem.limit.len()];
    // Margins above 1000: e^-1000 is no number.
    let mut far: Vec<f64> = problem.limit.iter().map(|x| 3000.0 * x).collect();
    far[0] += 1000.0;
    problem.descend("plain gradient", Rule::Plain, 20000, zero.clone());
    problem.descend("plain gradient, far out", Rule::Plain, 20000, far);
    problem.descend("normalised mantissa", Rule::Normalised, 20000, zero.clone());
    problem.descend("Polyak of scaled pairs", Rule::Polyak, 20000, zero);
}
