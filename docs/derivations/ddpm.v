(* The algebra of the paper's equations as theorems over the real numbers, for every schedule.

   a = sqrt(alpha_t) and p = sqrt(abar_{t-1}), so alpha_t = a^2, beta_t = 1 - a^2, abar_{t-1} = p^2, abar_t = a^2 p^2;
   s = sqrt(1 - abar_t). Numbers stand for images, since every equation holds for each element.

   coqc ddpm.v checks it; the last lines print what the theorems rest on: the axioms of Coq's real numbers. *)

Require Import Reals Lra Lia Field.
Open Scope R_scope.

Section A_step.
Variables a p s x x0 xt e eh s2 m1 m2 b w : R.
Hypothesis Ha : a <> 0.
Hypothesis Hp : p <> 0.
Hypothesis Hb : 1 - a^2 <> 0.
Hypothesis Hq : 1 - p^2 <> 0.
Hypothesis Ht : 1 - a^2 * p^2 <> 0.
Hypothesis Hs : s^2 = 1 - a^2 * p^2.
Hypothesis Hs0 : s <> 0.
Hypothesis Hs2 : s2 <> 0.

Definition beta := 1 - a^2.
Definition btil := (1 - a^2) * (1 - p^2) / (1 - a^2 * p^2).
Definition mu (y0 yt : R) := p * (1 - a^2) / (1 - a^2 * p^2) * y0 + a * (1 - p^2) / (1 - a^2 * p^2) * yt.
Definition x0_of (yt eps : R) := (yt - s * eps) / (a * p).

(* (2) A step keeps a variance of 1. *)
Theorem eq2_unit_variance : a^2 * 1 + beta = 1.
Proof. unfold beta. ring. Qed.

(* (4) The step of the induction: mean and variance of a step from abar_{t-1}. *)
Theorem eq4_mean : a * (p * x0) = (a * p) * x0.
Proof. ring. Qed.
Theorem eq4_variance : a^2 * (1 - p^2) + beta = 1 - a^2 * p^2.
Proof. unfold beta. ring. Qed.

(* (6) Bayes' rule: completing the square. *)
Theorem eq6_completing_the_square :
  (xt - a * x)^2 / (1 - a^2) + (x - p * x0)^2 / (1 - p^2) - (xt - a * p * x0)^2 / (1 - a^2 * p^2)
  = (x - mu x0 xt)^2 / btil.
Proof. unfold mu, btil. field. repeat split; lra. Qed.

(* (7) The precision and the mean. *)
Theorem eq7_precision : a^2 / (1 - a^2) + 1 / (1 - p^2) = 1 / btil.
Proof. unfold btil. field. repeat split; lra. Qed.
Theorem eq7_mean : btil * (a * xt / (1 - a^2) + p * x0 / (1 - p^2)) = mu x0 xt.
Proof. unfold mu, btil. field. repeat split; lra. Qed.

(* (6) averaged over q(x_t | x_0) is (4) at t - 1. *)
Theorem tower_mean : mu x0 (a * p * x0) = p * x0.
Proof. unfold mu. field. lra. Qed.
Theorem tower_variance : (a * (1 - p^2) / (1 - a^2 * p^2))^2 * (1 - a^2 * p^2) + btil = 1 - p^2.
Proof. unfold btil. field. lra. Qed.

(* (8) The KL divergence of two Gaussians by the moments E x = m1, E (x - m1)^2 = b, and its constant. *)
Theorem eq8 : (b + (m1 - m2)^2) / (2 * s2) - 1 / 2 + (ln s2 - ln b) / 2
  = (m1 - m2)^2 / (2 * s2) + (b / s2 - 1 + (ln s2 - ln b)) / 2.
Proof. field. assumption. Qed.

(* (9), (15) The image from x_t and the noise, and back. *)
Theorem eq9_recovers_x0 : x0_of (a * p * x0 + s * e) e = x0.
Proof. unfold x0_of. field. split; assumption. Qed.
Theorem eq15_inverts_4 : a * p * x0_of xt e + s * e = xt.
Proof. unfold x0_of. field. split; assumption. Qed.

(* (10), (11) The posterior mean in terms of the noise. *)
Theorem eq10 : mu (x0_of xt e) xt = (xt - beta / s * e) / a.
Proof.
  unfold mu, x0_of, beta. rewrite <- Hs. field_simplify_eq; [ | repeat split; try assumption; try lra ].
  replace (p^2) with ((1 - s^2) / a^2) by (rewrite Hs; field; assumption). field. repeat split; assumption.
Qed.

(* (12) The weight of the noise's error. *)
Theorem eq12_weight : ((xt - beta / s * e) / a - (xt - beta / s * eh) / a)^2 / (2 * s2)
  = beta^2 / (2 * s2 * a^2 * s^2) * (e - eh)^2.
Proof. field. repeat split; assumption. Qed.

(* The weights of the bound for x_0, by signal-to-noise ratios. *)
Theorem weight_of_x0 : (p * (1 - a^2) / (1 - a^2 * p^2))^2 / (2 * btil)
  = (p^2 / (1 - p^2) - a^2 * p^2 / (1 - a^2 * p^2)) / 2.
Proof. unfold btil. field. repeat split; lra. Qed.

(* The score of q(x_t | x_0). *)
Theorem score_is_minus_noise : - (a * p * x0 + s * e - a * p * x0) / (1 - a^2 * p^2) = - e / s.
Proof. rewrite <- Hs. field. assumption. Qed.

(* Tweedie: x_0 from the score. *)
Theorem tweedie : (xt + (1 - a^2 * p^2) * (- e / s)) / (a * p) = x0_of xt e.
Proof. rewrite <- Hs. unfold x0_of. field. repeat split; assumption. Qed.

(* v = sqrt(abar) eps - s x_0 and its two inverses. *)
Theorem velocity_x0 : a * p * (a * p * x0 + s * e) - s * (a * p * e - s * x0) = x0.
Proof. replace (a * p * (a * p * x0 + s * e) - s * (a * p * e - s * x0)) with ((a^2 * p^2 + s^2) * x0) by ring.
  rewrite Hs. ring. Qed.
Theorem velocity_eps : a * p * (a * p * e - s * x0) + s * (a * p * x0 + s * e) = e.
Proof. replace (a * p * (a * p * e - s * x0) + s * (a * p * x0 + s * e)) with ((a^2 * p^2 + s^2) * e) by ring.
  rewrite Hs. ring. Qed.

(* DDIM (12): the marginal at t - 1 for every sigma; k = sqrt(1 - abar_{t-1} - sigma^2). *)
Theorem ddim12_marginal_mean : forall k, p * x0_of (a * p * x0 + s * e) e + k * e = p * x0 + k * e.
Proof. intro k. rewrite eq9_recovers_x0. reflexivity. Qed.
Theorem ddim12_marginal_variance : forall k sigma, k^2 = 1 - p^2 - sigma^2 -> k^2 + sigma^2 = 1 - p^2.
Proof. intros. lra. Qed.

(* DDIM (16): with eta = 1 the variance is the posterior's. *)
Theorem ddim16_eta_1 : (1 - p^2) / (1 - a^2 * p^2) * (1 - a^2 * p^2 / p^2) = btil.
Proof. unfold btil. field. repeat split; try assumption; try lra. Qed.

(* Gaussian data of variance d: the exact reverse variance; d = 1 gives beta_t, d = 0 gives the posterior's. *)
Definition exact_variance (d : R) :=
  btil + (p * (1 - a^2) / (1 - a^2 * p^2))^2 * (d * (1 - a^2 * p^2) / (a^2 * p^2 * d + 1 - a^2 * p^2)).
Theorem sigma_for_standard_normal_data : exact_variance 1 = beta.
Proof. unfold exact_variance, btil, beta. field. repeat split; lra. Qed.
Theorem sigma_for_one_image : exact_variance 0 = btil.
Proof. unfold exact_variance. field. repeat split; lra. Qed.

(* Guidance: two forms. *)
Theorem guidance_forms : (1 + w) * e - w * eh = eh + (1 + w) * (e - eh).
Proof. ring. Qed.

(* Respacing: beta' of a step from abar_t to abar_{t-1} as a new step keeps the marginals. *)
Theorem respacing : (1 - (1 - a^2 * p^2 / p^2)) * p^2 = a^2 * p^2.
Proof. field. assumption. Qed.
End A_step.

(* At t = 1, where abar_0 = 1, the posterior is the point x_0. *)
Theorem posterior_at_t_1 : forall a x0 xt, 1 - a^2 <> 0 -> mu a 1 x0 xt = x0 /\ btil a 1 = 0.
Proof. intros. unfold mu, btil. split; field; lra. Qed.

(* 0 < beta_tilde < beta. *)
Theorem posterior_variance_is_smaller : forall a p, 0 < a^2 < 1 -> 0 < p^2 < 1 -> 0 < btil a p < beta a.
Proof.
  intros a p [A1 A2] [P1 P2]. unfold btil, beta.
  assert (0 < a^2 * p^2) by (apply Rmult_lt_0_compat; assumption).
  assert (a^2 * p^2 < p^2) by (rewrite <- (Rmult_1_l (p^2)) at 2; apply Rmult_lt_compat_r; assumption).
  assert (D : 0 < 1 - a^2 * p^2) by lra.
  assert (E : (1 - p^2) / (1 - a^2 * p^2) < 1)
    by (apply Rmult_lt_reg_r with (1 - a^2 * p^2); [ assumption | unfold Rdiv; rewrite Rmult_assoc, Rinv_l; lra ]).
  split.
  - apply Rdiv_lt_0_compat; [ apply Rmult_lt_0_compat; lra | assumption ].
  - replace ((1 - a^2) * (1 - p^2) / (1 - a^2 * p^2)) with ((1 - a^2) * ((1 - p^2) / (1 - a^2 * p^2))) by (field; lra).
    rewrite <- (Rmult_1_r (1 - a^2)) at 2. apply Rmult_lt_compat_l; lra.
Qed.

(* (21): the ratios of marginals telescope; L t = ln q(x_t | x_0). *)
Theorem eq21_telescopes : forall (L : nat -> R) (n : nat),
  sum_f_R0 (fun t => L (S (S t)) - L (S t)) n = L (S (S n)) - L 1%nat.
Proof. intros L n. induction n as [ | n IH ]; simpl; [ ring | simpl in IH; rewrite IH; ring ]. Qed.

(* (3): Jensen's inequality for the logarithm, as Gibbs' inequality on finitely many outcomes. *)
Lemma ln_below : forall y, 0 < y -> ln y <= y - 1.
Proof. intros y Hy. pose proof (exp_ineq1_le (ln y)) as H. rewrite exp_ln in H; lra. Qed.
Theorem eq3_gibbs : forall (q r : nat -> R) (n : nat), (forall i, 0 < q i) -> (forall i, 0 < r i) ->
  sum_f_R0 q n = 1 -> sum_f_R0 r n = 1 -> sum_f_R0 (fun i => q i * ln (r i / q i)) n <= 0.
Proof.
  intros q r n Hq Hr Sq Sr.
  apply Rle_trans with (sum_f_R0 (fun i => r i - q i) n).
  - apply sum_Rle. intros i _.
    assert (H : ln (r i / q i) <= r i / q i - 1) by (apply ln_below, Rdiv_lt_0_compat; auto).
    apply Rmult_le_compat_l with (r := q i) in H; [ | left; auto ].
    replace (q i * (r i / q i - 1)) with (r i - q i) in H by (field; specialize (Hq i); lra). exact H.
  - rewrite minus_sum. rewrite Sq, Sr. lra.
Qed.

(* Adam: the weights of its moving average sum to 1 - beta^k, which the bias correction divides by. *)
Theorem adam_bias_correction : forall c k, (1 - c) * sum_f_R0 (fun i => c^i) k = 1 - c^(S k).
Proof. intros c k. induction k as [ | k IH ]; simpl; [ ring | simpl in IH; rewrite Rmult_plus_distr_l, IH; ring ]. Qed.

(* Nichol & Dhariwal's learned range ends in beta_t and in beta_tilde. *)
Theorem learned_range_ends : forall u v, 0 < u -> 0 < v ->
  exp (1 * ln u + (1 - 1) * ln v) = u /\ exp (0 * ln u + (1 - 0) * ln v) = v.
Proof. intros u v Hu Hv. split; [ rewrite <- (exp_ln u Hu) at 2 | rewrite <- (exp_ln v Hv) at 2 ]; f_equal; ring. Qed.

(* Winograd's F(2, 3): four products for two outputs of a kernel of three. *)
Theorem winograd_f_2_3 : forall d0 d1 d2 d3 g0 g1 g2,
  let r0 := (d0 - d2) * g0 in let r1 := (d1 + d2) * ((g0 + g1 + g2) / 2) in
  let r2 := (d2 - d1) * ((g0 - g1 + g2) / 2) in let r3 := (d1 - d3) * g2 in
  r0 + r1 + r2 = d0 * g0 + d1 * g1 + d2 * g2 /\ r1 - r2 - r3 = d1 * g0 + d2 * g1 + d3 * g2.
Proof. intros. unfold r0, r1, r2, r3. split; field. Qed.

(* Toom and Cook: the same for any three points p, q, r and infinity. *)
Theorem toom_cook_2_3 : forall p q r d0 d1 d2 d3 g0 g1 g2, p <> q -> p <> r -> q <> r ->
  let value := fun x => g0 + g1 * x + g2 * x^2 in
  let rest := fun x y z => (y * z * d0 - (y + z) * d1 + d2) / ((x - y) * (x - z)) in
  let mp := value p * rest p q r in let mq := value q * rest q p r in let mr := value r * rest r p q in
  let mi := g2 * (- (p * q * r) * d0 + (p * q + p * r + q * r) * d1 - (p + q + r) * d2 + d3) in
  mp + mq + mr = d0 * g0 + d1 * g1 + d2 * g2 /\ p * mp + q * mq + r * mr + mi = d1 * g0 + d2 * g1 + d3 * g2.
Proof.
  intros p q r d0 d1 d2 d3 g0 g1 g2 Hpq Hpr Hqr value rest mp mq mr mi. unfold mp, mq, mr, mi, value, rest.
  split; field; repeat split; lra.
Qed.

(* Winograd's F(4, 3) at the package's points 0, 5/8, 3/2, -5/8, -3/2 and infinity: six products for four outputs. *)
Theorem winograd_f_4_3 : forall d0 d1 d2 d3 d4 d5 g0 g1 g2,
  let value := fun x => g0 + g1 * x + g2 * x^2 in
  let u := 5 / 8 in let v := 3 / 2 in
  let even := fun a b => (- b^2 * d2 + d4) / (2 * a^2 * (a^2 - b^2)) in
  let odd := fun a b => (- b^2 * d1 + d3) / (2 * a * (a^2 - b^2)) in
  let r0 := value 0 * (d0 - (u^2 + v^2) / (u^2 * v^2) * d2 + d4 / (u^2 * v^2)) in
  let r1 := value u * (even u v + odd u v) in let r2 := value (- u) * (even u v - odd u v) in
  let r3 := value v * (even v u + odd v u) in let r4 := value (- v) * (even v u - odd v u) in
  let r5 := g2 * (u^2 * v^2 * d1 - (u^2 + v^2) * d3 + d5) in
  r0 + r1 + r2 + r3 + r4 = d0 * g0 + d1 * g1 + d2 * g2 /\
  u * (r1 - r2) + v * (r3 - r4) = d1 * g0 + d2 * g1 + d3 * g2 /\
  u^2 * (r1 + r2) + v^2 * (r3 + r4) = d2 * g0 + d3 * g1 + d4 * g2 /\
  u^3 * (r1 - r2) + v^3 * (r3 - r4) + r5 = d3 * g0 + d4 * g1 + d5 * g2.
Proof. intros. unfold r0, r1, r2, r3, r4, r5, even, odd, value, u, v. repeat split; field. Qed.

Print Assumptions eq6_completing_the_square.
Print Assumptions eq10.
Print Assumptions eq3_gibbs.
Print Assumptions posterior_variance_is_smaller.
