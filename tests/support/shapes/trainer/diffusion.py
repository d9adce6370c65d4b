"""Classes of the shape of a common trainer and sampler, written for the tests of the adapters in scripts/peers."""

import torch


def extract(table, t, shape):
    return table[t].reshape(-1, *(1,) * (len(shape) - 1))


class GaussianDiffusionTrainer(torch.nn.Module):
    def __init__(self, model, beta_1, beta_T, T):
        super().__init__()
        self.model, self.T, self.bars = model, T, torch.cumprod(1 - torch.linspace(beta_1, beta_T, T), 0)

    def forward(self, x):
        t, noise = torch.randint(self.T, size=(len(x),)), torch.randn_like(x)
        bar = extract(self.bars, t, x.shape)
        return (self.model(bar.sqrt() * x + (1 - bar).sqrt() * noise, t) - noise) ** 2


class GaussianDiffusionSampler(torch.nn.Module):
    def __init__(self, model, beta_1, beta_T, T, mean_type="epsilon", var_type="fixedlarge"):
        super().__init__()
        self.model, self.T, self.large = model, T, var_type == "fixedlarge"
        self.betas = torch.linspace(beta_1, beta_T, T)
        self.bars = torch.cumprod(1 - self.betas, 0)
        self.before = torch.cat([self.bars.new_ones(1), self.bars[:-1]])
        self.posterior_var = self.betas * (1 - self.before) / (1 - self.bars)
        clipped = torch.cat([self.posterior_var[1:2], self.posterior_var[1:]])
        self.posterior_log_var_clipped = clipped.log()
        self.var = torch.cat([clipped[:1], self.betas[1:]]) if self.large else clipped

    def q_mean_variance(self, x_0, x_t, t):
        beta, bar, before = (extract(table, t, x_t.shape) for table in (self.betas, self.bars, self.before))
        return (before.sqrt() * beta * x_0 + (1 - beta).sqrt() * (1 - before) * x_t) / (1 - bar), None

    def predict_xstart_from_eps(self, x_t, t, eps):
        bar = extract(self.bars, t, x_t.shape)
        return (x_t - (1 - bar).sqrt() * eps) / bar.sqrt()

    def p_mean_variance(self, x_t, t):
        x_0 = torch.clip(self.predict_xstart_from_eps(x_t, t, self.model(x_t, t)), -1, 1)
        return self.q_mean_variance(x_0, x_t, t)[0], extract(self.var, t, x_t.shape).log()

    def forward(self, x):
        for step in reversed(range(self.T)):
            mean, log_var = self.p_mean_variance(x, torch.full((len(x),), step))
            x = mean + (log_var / 2).exp() * torch.randn_like(x) if step else mean
        return torch.clip(x, -1, 1)
