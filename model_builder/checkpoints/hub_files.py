"""The files of the catalogue on the Hugging Face hub, by repository.

As the hub's own pages of the files show them; of the two for 34 layers, as other projects have
pinned them. Where none was to be found there is none, and the hub's own word is taken.
"""

from __future__ import annotations

# Commits of the hub's repositories. Microsoft's resnet-101 has its safetensors in this one only.
REVISIONS = {
    "microsoft/resnet-101": "5b977138c80713ccee33a115e91899aea7a2f9a6",
    "microsoft/resnet-50": "34c2154c194f829b11125337b98c8f5f9965ff19",
    "timm/resnet101.a1h_in1k": "21721ac354aff8c4fbc371f3c4e46fa8832d4d68",
    "timm/resnet18.a1_in1k": "ebd61f9c7420e5b5b53262b8ce6bbe311e1e872a",
    "timm/resnet18.tv_in1k": "a987fd6b60f845221bfff84b6f0191273ba56ead",
    "timm/resnet34.tv_in1k": "1b7b21cca82ff974d341713f777bf740c2db38c4",
    "timm/resnet50.a1_in1k": "5d9e13b8fdab4d9718bcf2c8f5c3af01878367e8",
    "timm/resnet50.tv_in1k": "aa6c2d36d56bc0209040c02b5a7b7d7bf11d57b8",
}
SHA256 = {
    "microsoft/resnet-101": "f2957549a2feece05426879095399ded54f4ba62aef57b26b88e0c758a0f3bd0",
    "microsoft/resnet-18": "1cf00ee468998c23d084361b02cffadabacb5074105564c596b8079f77ecb126",
    "microsoft/resnet-34": "1096166c7cf216a7320a6b67b754b1776b99205a44d070c6cb52429af2d136bb",
    "microsoft/resnet-50": "9c6061af1f450bb0847e529fd742aa5066017be379c71bbf5546b198e5b13a1e",
    "timm/resnet101.a1_in1k": "1ba5b660e7c175b3c27c557fc7dc8b2815be830c516815b0155f61b403f27380",
    "timm/resnet101.a1h_in1k": "1a076c0384295e7d3704f201c5711ff245507db934230bab72ff3014a95f90fe",
    "timm/resnet152.a1_in1k": "5a3518da3d35ee04e77a5e69289cff55c3a07a732d7287f6cab20bd4d330eda9",
    "timm/resnet152.tv_in1k": "15897077afdf4d6334dc0c3f8e6fb483afb3faa9298c139f3c6eb29bca6ae5b2",
    "timm/resnet18.a1_in1k": "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
    "timm/resnet18.gluon_in1k": "6991fcc0c58379a8496f6273b2f211e492f6af6494041fded649a482772ad2bf",
    "timm/resnet18.tv_in1k": "694f673df6520a3158624e8a89af086f59923ee4cd7436fe5bc3bc71d295ad81",
    "timm/resnet34.a1_in1k": "829a220f9529d2b1ffdc8719d3273463001e0daf411eaf1916865d9db62c0ed2",
    "timm/resnet34.tv_in1k": "0bb82595a564991a9d424708b33f5d843f5aaed7f6c0886ff10849ff97022235",
    "timm/resnet50.a1_in1k": "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
    "timm/resnet50.tv_in1k": "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
}
