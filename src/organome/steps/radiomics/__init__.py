"""Image + labelmap -> radiomics features, their stability, export for ComBat."""
