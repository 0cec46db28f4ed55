"""One FIX step, CA step or inference, twice: as the reference computes it (eager), and as well as PyTorch can be asked to
(tuned). Both give the same numbers up to rounding; options are those of configs/fix.json and ca.json.
"""
import contextlib

import torch
import torch.nn.functional as F

from networks import folded


def criterion_side(inside, lambda_r, logits, labels, clean, mask, lambda_tv=0.001):
    """Cross-entropy criterion of one side: objective, regulariser with indicators, total variation. Returns the part
    that needs the logits' gradient and the part that needs the mask's alone."""
    n = mask.shape[0]
    area = mask.mean((1, 2, 3))
    predicted, right = logits.argmax(1), (clean.argmax(1) == labels).float()
    if inside:
        objective = -F.cross_entropy(logits, labels)
        confident = (predicted == labels).float()
    else:
        log_p = F.log_softmax(logits, 1)
        objective = (right * -(log_p.exp() * log_p).sum(1)).mean()
        confident = right * (predicted != labels).float()
    regulariser = -lambda_r * F.relu(confident - area).mean()
    borders = sum((edge**2).sum() for edge in (mask[:, :, 0], mask[:, :, -1], mask[..., 0], mask[..., -1]))
    steps = ((mask[:, :, 1:] - mask[:, :, :-1])**2).sum() + ((mask[..., 1:] - mask[..., :-1])**2).sum()
    return -objective, regulariser + lambda_tv * (steps + 0.3 * borders) / (2 * n)


def statistics(mask):
    """What the log says of a batch of masks, one tensor of four numbers."""
    means = mask.mean((1, 2, 3))
    entropy = torch.where((mask > 0) & (mask < 1), -mask * mask.clamp_min(1e-38).log2(), torch.zeros_like(mask))
    tv = ((mask[:, :, 1:] - mask[:, :, :-1])**2).mean() + ((mask[..., 1:] - mask[..., :-1])**2).mean()
    return torch.stack([means.mean(), means.std() if len(means) > 1 else means.sum() * 0, entropy.mean(), tv])


class Steps:
    """mode fix, ca or infer; precision fp32, tf32, bf16 or fp16."""

    def __init__(self, mode, classifier, masker, precision, device):
        self.mode, self.classifier, self.masker, self.device = mode, classifier, masker, device
        self.type = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)
        self.lambda_out = 15.0 if mode == "ca" else 10.0
        self.sgd = torch.optim.SGD(classifier.parameters(), 0.001, momentum=0.9, weight_decay=1e-4)
        self.adam = torch.optim.Adam(masker.parameters(), 0.001, weight_decay=1e-4)
        # A power of two keeps 16-bit gradients with five exponent bits away from zero; it is divided out exactly.
        self.scale = 1024.0 if precision == "fp16" else 1.0
        self.gradient = self.mask = None  # of the last step

    def cast(self):
        return torch.autocast(self.device.type, self.type) if self.type else contextlib.nullcontext()

    def look(self, x):
        with self.cast():
            logits, taps = self.classifier(x)
        return logits.float(), taps

    def draw(self, taps, size):
        with self.cast():
            return self.masker(taps, size).float()

    def finish(self, norm=10.0):
        torch.nn.utils.clip_grad_norm_(self.masker.parameters(), norm)
        self.adam.step()

    def sides(self, x, labels, clean, mask, masked_in, masked_out):
        parts = [criterion_side(inside, lambda_r, logits, labels, clean, mask)
                 for inside, lambda_r, logits in ((True, 1.0, masked_in), (False, self.lambda_out, masked_out))]
        return parts[0] + parts[1]


class Eager(Steps):
    """As the reference: separate masked passes, gradients of every parameter of a classifier that nobody updates, masks
    and figures fetched to the host one by one."""

    def prepare(self):
        self.classifier.train(self.mode == "ca")
        self.masker.train(self.mode != "infer")

    def infer(self, x):
        with torch.no_grad():
            logits, taps = self.look(x)
            return self.draw(taps, x.shape[-2:]).cpu(), logits.cpu()

    def step(self, x, labels, update):
        ca = self.mode == "ca"
        if ca:
            logits, taps = self.look(x)
            loss = F.cross_entropy(logits, labels)
            self.sgd.zero_grad()
            loss.backward()
            self.sgd.step()
            taps, clean = [t.detach() for t in taps], logits.detach()
        else:
            with torch.no_grad():
                clean, taps = self.look(x)
                loss = F.cross_entropy(clean, labels)
        mask = self.draw(taps, x.shape[-2:])
        mask.retain_grad()
        masked_in, masked_out = self.look(x * mask)[0], self.look(x * (1 - mask))[0]
        losses = self.sides(x, labels, clean, mask, masked_in, masked_out)
        classifier_loss = F.cross_entropy(masked_in, labels) + F.cross_entropy(masked_out, labels)
        self.sgd.zero_grad()
        self.adam.zero_grad()
        # The masker's gradient first: what its backward adds to the classifier is thrown away, as it is there.
        (sum(losses) * self.scale).backward(retain_graph=update)
        self.mask, self.gradient = mask.detach(), mask.grad / self.scale
        for p in self.masker.parameters():
            p.grad /= self.scale
        kept = [p.grad.clone() for p in self.masker.parameters()] if update else []
        if update:
            self.sgd.zero_grad()
            classifier_loss.backward()
            self.sgd.step()
            for p, gradient in zip(self.masker.parameters(), kept):
                p.grad = gradient
        self.finish()
        log = [loss.item(), classifier_loss.item()] + [part.item() for part in losses]
        for logits in (clean, masked_in, masked_out):
            log.append((logits.argmax(1) == labels).float().mean().item())
        return log + statistics(mask.detach().cpu()).tolist()


class Tuned(Steps):
    """The same step with what PyTorch offers: a frozen classifier has folded norms and no parameter gradients (its
    weights lie in the 16-bit type where one is asked for), masked-in and masked-out are one batch of 2N, everything is
    channels last, autograd is asked for the gradients that are used, figures are fetched once."""

    def __init__(self, mode, classifier, masker, precision, device, compiled, layout):
        super().__init__(mode, classifier, masker, precision, device)
        self.compiled, self.layout = compiled, layout

    def prepare(self):
        ca = self.mode == "ca"
        self.masker.train(self.mode != "infer")
        if ca:
            self.classifier.train()
        else:
            self.classifier = folded(self.classifier)
            if self.type:
                self.classifier.to(self.type)
        self.classifier.to(memory_format=self.layout)
        self.masker.to(memory_format=self.layout)
        self.learned = [p for p in self.classifier.parameters() if p.requires_grad]
        self.call = self.classifier
        if self.compiled == "compile":
            self.call = torch.compile(self.classifier)
        elif self.compiled == "script":  # PyTorch 1.x: no torch.compile; inference through TorchScript's fusions
            with torch.no_grad():
                self.call = torch.jit.optimize_for_inference(torch.jit.trace(
                    self.classifier, torch.zeros(1, 3, 224, 224), check_trace=False, strict=False))

    def cast(self):
        return super().cast() if self.mode == "ca" else contextlib.nullcontext()

    def look(self, x):
        if self.type and self.mode != "ca":
            x = x.to(self.type)
        with self.cast():
            logits, taps = self.call(x.contiguous(memory_format=self.layout))
        return logits.float(), taps

    def infer(self, x):
        with torch.inference_mode():
            logits, taps = self.look(x)
            return self.draw(taps, x.shape[-2:]).cpu(), logits.cpu()

    def step(self, x, labels, update):
        return self.step_ca(x, labels, update) if self.mode == "ca" else self.step_fix(x, labels)

    def log(self, mask, labels, losses, *logits):
        right = [(l.argmax(1) == labels).float().mean() for l in logits]
        figures = torch.cat([torch.stack(list(losses) + right), statistics(mask)])
        return lambda: figures.tolist()

    def step_fix(self, x, labels):
        with torch.no_grad():
            clean, taps = self.look(x)
            loss = F.cross_entropy(clean, labels)
        drawn = self.draw(taps, x.shape[-2:])
        mask = drawn.detach().requires_grad_()
        inside = x * mask
        masked_in, masked_out = self.look(torch.cat([inside, x - inside]))[0].chunk(2)
        losses = self.sides(x, labels, clean, mask, masked_in, masked_out)
        gradient, = torch.autograd.grad(sum(losses) * self.scale, [mask])
        gradient = gradient / self.scale
        log = self.log(mask.detach(), labels, [loss] + [l.detach() for l in losses], clean, masked_in.detach(),
                       masked_out.detach())
        self.adam.zero_grad(set_to_none=True)
        drawn.backward(gradient)
        self.finish()
        self.mask, self.gradient = mask.detach(), gradient
        return log()

    def step_ca(self, x, labels, update):
        logits, taps = self.look(x)
        loss = F.cross_entropy(logits, labels)
        self.sgd.zero_grad(set_to_none=True)
        (loss * self.scale).backward()
        self.unscale(self.learned)
        self.sgd.step()
        clean, taps = logits.detach(), [t.detach() for t in taps]
        drawn = self.draw(taps, x.shape[-2:])
        mask = drawn.detach().requires_grad_()
        for p in self.learned:
            p.requires_grad_(update)
        masked_in = self.look(x * mask)[0]
        # The masked-in objective IS the classifier's loss: one backward gives both gradients.
        objective_in, rest_in = criterion_side(True, 1.0, masked_in, labels, clean, mask)
        wanted = [mask] + (self.learned if update else [])
        first = torch.autograd.grad(objective_in * self.scale, wanted)
        masked_out = self.look(x * (1 - mask))[0]
        objective_out, rest_out = criterion_side(False, self.lambda_out, masked_out, labels, clean, mask)
        entropy, = torch.autograd.grad(objective_out * self.scale, [mask], retain_graph=True)
        rest, = torch.autograd.grad(rest_in + rest_out, [mask], retain_graph=update)
        gradient = (first[0] + entropy) / self.scale + rest
        if update:
            second = torch.autograd.grad(F.cross_entropy(masked_out, labels) * self.scale, self.learned)
            for p, a, b in zip(self.learned, first[1:], second):
                p.grad = a.add_(b).div_(self.scale)
            self.sgd.step()
        for p in self.learned:
            p.requires_grad_(True)
        losses = [loss.detach(), objective_in.detach(), objective_out.detach(), rest_in.detach(), rest_out.detach()]
        log = self.log(mask.detach(), labels, losses, clean, masked_in.detach(), masked_out.detach())
        self.adam.zero_grad(set_to_none=True)
        drawn.backward(gradient)
        self.finish()
        self.mask, self.gradient = mask.detach(), gradient
        return log()

    def unscale(self, parameters):
        if self.scale != 1:
            for p in parameters:
                p.grad.div_(self.scale)
