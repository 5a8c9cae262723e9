! What of softstep/c/softstep.h the example needs. Structs begin with their size: c_sizeof of the type.
module softstep
  use, intrinsic :: iso_c_binding
  implicit none

  integer(c_int32_t), parameter :: softstep_ok = 0, softstep_f64 = 0, softstep_c_abi = 1
  integer(c_int32_t), parameter :: want_gradient = 1, want_loss_gap = 2

  type, bind(c) :: softstep_scaled
    real(c_double) :: mantissa = 0, exponent = 0
  end type

  type, bind(c) :: softstep_batch
    integer(c_size_t) :: struct_size = 0
    integer(c_int32_t) :: number_type = softstep_f64, reserved = 0
    type(c_ptr) :: tokens = c_null_ptr
    integer(c_size_t) :: n_samples = 0, n_tokens = 0, dim = 0
    type(c_ptr) :: offsets = c_null_ptr
    integer(c_size_t) :: token_stride = 0, sample_stride = 0
    type(c_ptr) :: labels = c_null_ptr, targets = c_null_ptr, decoder = c_null_ptr
    type(c_ptr) :: query_index = c_null_ptr, queries = c_null_ptr
    integer(c_size_t) :: query_stride = 0
    integer(c_int32_t) :: all_tokens_are_queries = 0, reserved2 = 0
    integer(c_size_t) :: n_queries = 0
    type(c_ptr) :: query_offsets = c_null_ptr, query_weights = c_null_ptr
    integer(c_size_t) :: n_query_weights = 0
  end type

  type, bind(c) :: softstep_evaluation
    integer(c_size_t) :: struct_size = 0
    real(c_double) :: loss = 0
    type(softstep_scaled) :: loss_scaled, loss_gap
    real(c_double) :: optimal_loss = 0, min_optimal_attention = 0
    real(c_double) :: log10_one_minus_optimal_attention = 0, accuracy = 0
  end type

  interface
    integer(c_int32_t) function softstep_require_abi(abi) bind(c)
      import
      integer(c_int32_t), value :: abi
    end function
    type(c_ptr) function softstep_last_message() bind(c)
      import
    end function
    integer(c_int32_t) function softstep_dataset_load(path, number_type, dataset) bind(c)
      import
      character(kind=c_char), intent(in) :: path(*)
      integer(c_int32_t), value :: number_type
      type(c_ptr), intent(inout) :: dataset
    end function
    integer(c_int32_t) function softstep_dataset_batch(dataset, batch) bind(c)
      import
      type(c_ptr), value :: dataset
      type(softstep_batch), intent(inout) :: batch
    end function
    subroutine softstep_dataset_destroy(dataset) bind(c)
      import
      type(c_ptr), value :: dataset
    end subroutine
    integer(c_int32_t) function softstep_weights_load(path, dim, weights) bind(c)
      import
      character(kind=c_char), intent(in) :: path(*)
      integer(c_size_t), value :: dim
      real(c_double), intent(out) :: weights(*)
    end function
    integer(c_int32_t) function softstep_attention_model_create(batch, options, model) bind(c)
      import
      type(softstep_batch), intent(in) :: batch
      type(c_ptr), value :: options
      type(c_ptr), intent(inout) :: model
    end function
    subroutine softstep_model_destroy(model) bind(c)
      import
      type(c_ptr), value :: model
    end subroutine
    integer(c_int32_t) function softstep_workspace_create(model, workspace) bind(c)
      import
      type(c_ptr), value :: model
      type(c_ptr), intent(inout) :: workspace
    end function
    subroutine softstep_workspace_destroy(workspace) bind(c)
      import
      type(c_ptr), value :: workspace
    end subroutine
    integer(c_int32_t) function softstep_evaluate(model, workspace, blocks, want, samples, n_samples, &
                                                  evaluation, gradients, exponents) bind(c)
      import
      type(c_ptr), value :: model, workspace, samples
      type(c_ptr), intent(in) :: blocks(*), gradients(*)
      integer(c_int32_t), value :: want
      integer(c_size_t), value :: n_samples
      type(softstep_evaluation), intent(inout) :: evaluation
      real(c_double), intent(out) :: exponents(*)
    end function
    integer(c_int32_t) function softstep_solve_max_margin(batch, options, weights, solution) bind(c)
      import
      type(softstep_batch), intent(in) :: batch
      type(c_ptr), value :: options, solution
      real(c_double), intent(out) :: weights(*)
    end function
    integer(c_int32_t) function softstep_compare_direction(a, b, n, one_minus_cos, angle) bind(c)
      import
      real(c_double), intent(in) :: a(*), b(*)
      integer(c_size_t), value :: n
      real(c_double), intent(out) :: one_minus_cos, angle
    end function
    integer(c_int32_t) function softstep_normalized_margin(batch, weights, margin) bind(c)
      import
      type(softstep_batch), intent(in) :: batch
      real(c_double), intent(in) :: weights(*)
      real(c_double), intent(out) :: margin
    end function
  end interface
end module
