"""GAN variants, one file each."""

from gan_modules.acgan import ACGAN
from gan_modules.base import GANModule
from gan_modules.fastgan import FastGAN
from gan_modules.gan import GAN
from gan_modules.infogan import InfoGAN
from gan_modules.parallel import GANDDP
from gan_modules.r3gan import R3GAN
from gan_modules.stylegan2 import StyleGAN2
from gan_modules.wgan_gp import WGANGP

__all__ = [
    "ACGAN",
    "GAN",
    "GANDDP",
    "R3GAN",
    "WGANGP",
    "FastGAN",
    "GANModule",
    "InfoGAN",
    "StyleGAN2",
]
