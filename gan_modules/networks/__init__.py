"""Generators and discriminators; each can serve any variant whose contract it keeps."""

from gan_modules.networks.acgan32 import ACGAN32Discriminator, ACGAN32Generator
from gan_modules.networks.biggan import (
    BigGANDiscriminator,
    BigGANGenerator,
    PlainBigGANDiscriminator,
    PlainBigGANGenerator,
)
from gan_modules.networks.dcgan32 import Critic32, DCGAN32Discriminator, DCGAN32Generator
from gan_modules.networks.dcgan96 import DCGAN96Discriminator, DCGAN96Generator
from gan_modules.networks.fastgan import FastGANDiscriminator, FastGANGenerator
from gan_modules.networks.fcgan import FCDiscriminator, FCGenerator
from gan_modules.networks.infogan import InfoGANDiscriminator, InfoGANGenerator
from gan_modules.networks.mlp import MLPDiscriminator, MLPGenerator
from gan_modules.networks.network import (
    ClassifyingDiscriminator,
    Discriminator,
    Generator,
    Network,
    initialize_dcgan,
)
from gan_modules.networks.packing import Packed
from gan_modules.networks.r1_resnet import R1ResNetDiscriminator, R1ResNetGenerator
from gan_modules.networks.r3gan import R3GANDiscriminator, R3GANGenerator
from gan_modules.networks.sagan import SAGANDiscriminator, SAGANGenerator
from gan_modules.networks.sngan import SNGANDiscriminator, SNGANGenerator
from gan_modules.networks.stacked import StackedDiscriminator, StackedGenerator
from gan_modules.networks.stylegan2 import StyleGAN2Discriminator, StyleGAN2Generator

__all__ = [
    "ACGAN32Discriminator",
    "ACGAN32Generator",
    "BigGANDiscriminator",
    "BigGANGenerator",
    "ClassifyingDiscriminator",
    "Critic32",
    "DCGAN32Discriminator",
    "DCGAN32Generator",
    "DCGAN96Discriminator",
    "DCGAN96Generator",
    "Discriminator",
    "FCDiscriminator",
    "FCGenerator",
    "FastGANDiscriminator",
    "FastGANGenerator",
    "Generator",
    "InfoGANDiscriminator",
    "InfoGANGenerator",
    "MLPDiscriminator",
    "MLPGenerator",
    "Network",
    "Packed",
    "PlainBigGANDiscriminator",
    "PlainBigGANGenerator",
    "R1ResNetDiscriminator",
    "R1ResNetGenerator",
    "R3GANDiscriminator",
    "R3GANGenerator",
    "SAGANDiscriminator",
    "SAGANGenerator",
    "SNGANDiscriminator",
    "SNGANGenerator",
    "StackedDiscriminator",
    "StackedGenerator",
    "StyleGAN2Discriminator",
    "StyleGAN2Generator",
    "initialize_dcgan",
]
