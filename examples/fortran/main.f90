! softstep from Fortran. Usage: example DATA TRAINED (safetensors files).
program example
  use softstep
  implicit none
  integer, parameter :: plain = 1, normalised = 2, polyak = 3
  type(c_ptr) :: data = c_null_ptr, model = c_null_ptr, space = c_null_ptr
  type(softstep_batch) :: batch
  real(c_double), allocatable, target :: w(:), g(:)
  real(c_double), allocatable :: limit(:), trained(:)
  character(len=4096) :: path(2)
  integer(c_size_t) :: n
  integer :: i

  if (command_argument_count() /= 2) stop 'usage: example DATA TRAINED'
  do i = 1, 2
    call get_command_argument(i, path(i))
  end do
  call need(softstep_require_abi(softstep_c_abi))
  batch%struct_size = c_sizeof(batch)
  call need(softstep_dataset_load(trim(path(1)) // c_null_char, softstep_f64, data))
  call need(softstep_dataset_batch(data, batch))
  call need(softstep_attention_model_create(batch, c_null_ptr, model))
  call need(softstep_workspace_create(model, space))
  n = batch%dim * batch%dim
  allocate(w(n), g(n), limit(n), trained(n))
  call need(softstep_solve_max_margin(batch, c_null_ptr, limit, c_null_ptr))
  call need(softstep_weights_load(trim(path(2)) // c_null_char, batch%dim, trained))

  w = 0
  call descend('plain gradient', plain, 20000)
  w = 3000 * limit   ! margins above 1000: e^-1000 is no number
  w(1) = w(1) + 1000
  call descend('plain gradient, far out', plain, 20000)
  w = 0
  call descend('normalised mantissa', normalised, 20000)
  w = 0
  call descend('Polyak of scaled pairs', polyak, 20000)

  call softstep_workspace_destroy(space)
  call softstep_model_destroy(model)
  call softstep_dataset_destroy(data)

contains

  subroutine need(status)
    integer(c_int32_t), intent(in) :: status
    character(kind=c_char), pointer :: text(:)
    integer :: k
    if (status == softstep_ok) return
    call c_f_pointer(softstep_last_message(), text, [4096])
    do k = 1, 4096
      if (text(k) == c_null_char) exit
      write (*, '(a)', advance='no') text(k)
    end do
    error stop
  end subroutine

  subroutine descend(run, rule, n_steps)
    character(len=*), intent(in) :: run
    integer, intent(in) :: rule, n_steps
    type(softstep_evaluation) :: at
    type(c_ptr) :: blocks(1), gradients(1)
    real(c_double) :: exponents(1), squares, eta, margin, to_limit, to_trained, angle
    character(len=40) :: ending
    integer :: moved
    at%struct_size = c_sizeof(at)
    blocks(1) = c_loc(w)
    gradients(1) = c_loc(g)
    do moved = 0, n_steps - 1
      call need(softstep_evaluate(model, space, blocks, want_gradient + want_loss_gap, c_null_ptr, &
                                  0_c_size_t, at, gradients, exponents))
      squares = sum(g * g)
      select case (rule)
      case (plain)
        eta = exp(exponents(1))
      case (normalised)
        eta = 1 / sqrt(squares)
      case default
        eta = 2 * at%loss_gap%mantissa / squares * exp(at%loss_gap%exponent - exponents(1))
      end select
      if (.not. eta > 0) exit
      w = w - eta * g
    end do
    ending = 'took all steps'
    if (moved < n_steps) ending = 'the step is 0: the gradient underflows'
    call need(softstep_normalized_margin(batch, w, margin))
    call need(softstep_compare_direction(w, limit, n, to_limit, angle))
    call need(softstep_compare_direction(w, trained, n, to_trained, angle))
    write (*, '(a,a22,a,a28,a,i9,a,f8.6,a,es7.1,a,es7.1,3a)') '| ', 'Fortran               ', ' | ', &
      run // repeat(' ', 28 - len(run)), ' | ', moved, ' | ', margin, ' | ', to_limit, ' | ', to_trained, &
      ' | ', trim(ending), ' |'
  end subroutine
end program
