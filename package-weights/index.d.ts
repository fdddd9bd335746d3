/** Address of the weights file, beside this module; `Classifier.load({ weights })` takes it. */
export declare const weights: URL;
