import { DeepbreathError } from './engine.js';
export { DeepbreathError };
export type ErrorCode = import('./engine.js').ErrorCode;
export type ClassifierEventMap = import('./events.js').ClassifierEventMap;
export type Assessment = import('./worker.js').Assessment;
export type Backend = import('./worker.js').Backend;
export type ClassifyOptions = import('./worker.js').ClassifyOptions;
export type Loaded = import('./worker.js').Loaded;
export type Plane = import('./worker.js').Plane;
export type Program = import('./worker.js').Program;
export type Judged = import('./worker.js').Judged;
export type Reduced = import('./worker.js').Reduced;
export type Request = import('./worker.js').Request;
export type Progress = {
    loaded: number;
    total: number;
    stage?: 'weights' | 'engine';
};
export type Source = import('./source.js').Source;
export type Finding = import('./worker.js').Finding;
export type Metadata = import('./worker.js').Metadata;
export type OperatingPoint = import('./worker.js').OperatingPoint;
export type Provenance = import('./worker.js').Provenance;
export type Reason = import('./worker.js').Reason;
export type Saliency = import('./worker.js').Saliency;
export type LoadOptions = {
    /**
     * The weights file: its address, or the file itself.
     */
    weights?: string | URL | Blob | Uint8Array | ArrayBuffer | undefined;
    /**
     * `auto`, the default, times what the machine has and takes the faster one.
     */
    backend?: Backend | 'auto' | undefined;
    /**
     * Hears how far loading is.
     */
    onProgress?: ((progress: Progress) => void) | undefined;
    /**
     * Gives up loading.
     */
    signal?: AbortSignal | undefined;
    /**
     * Address of the folder with this package's files, where the bundler did not
     * bring them along; by default they are beside this module.
     */
    base?: string | URL | undefined;
    /**
     * The programs, one by one; by default those of the package.
     */
    modules?: Partial<Record<Backend, Program>> | undefined;
    /**
     * Starts an engine's worker that already has program
     * and weights: `weights`, `base` and `modules` are then needless.
     */
    host?: ((backend: Backend) => import('./engine.js').Host) | undefined;
};
export type RequestOptions = ClassifyOptions & {
    signal?: AbortSignal | undefined;
};
export type BackendChange = {
    backend: Backend;
    reason: string;
};
declare const Target: new () => import('./events.js').Telling<ClassifierEventMap> & EventTarget;
/**
 * A classifier in a worker of its own. Dispatches `backendchange` (a `CustomEvent` whose `detail` is a
 * {@link BackendChange}) when it has to go on with another engine, and `restart` (the same) when the graphics processor was
 * lost and answers again.
 */
export declare class Classifier extends Target {
    #private;
    /** @param {LoadOptions} options Use {@link Classifier.load}. */
    constructor(options: LoadOptions);
    /**
     * Starts a worker, loads the program and the weights and runs once, so that the first image is answered at full speed.
     * @param {LoadOptions} [options] Without `weights` (or a `host`, which has them) there is nothing to load.
     * @returns {Promise<Classifier>}
     * @throws {DeepbreathError} Where the weights or a program do not arrive, or cannot be used.
     */
    static load(options?: LoadOptions): Promise<Classifier>;
    /** The engine that answers now. */
    get backend(): import("./generated/cpu/deepbreath.js").Backend;
    /** Why that one, in words; empty where it was asked for. */
    get reason(): string;
    /** Whether it is the processor because the graphics processor was tried and failed. */
    get fallback(): boolean;
    /** What the weights file tells of itself: classes, thresholds with their measured rates, provenance. */
    get weights(): Loaded['metadata'];
    /**
     * Probabilities for one image. Requests are answered one after the other; an aborted one rejects at once with the
     * signal's reason.
     * @param {Source} source An image file, its address, or pixels.
     * @param {RequestOptions} [options]
     * @returns {Promise<Assessment>}
     * @throws {DeepbreathError} Where the image cannot be read, or the network cannot be run.
     */
    classify(source: Source, { signal, ...options }?: RequestOptions): Promise<Assessment>;
    /**
     * The image as the classifier decodes it, for display.
     * @param {Source} source
     * @param {{ signal?: AbortSignal | undefined }} [options]
     * @returns {Promise<Plane>}
     */
    preview(source: Source, { signal }?: {
        signal?: AbortSignal | undefined;
    }): Promise<Plane>;
    /**
     * The film as small as the network sees it, with ready-made parts of it to cover.
     * @param {Source} source
     * @param {{ signal?: AbortSignal | undefined }} [options]
     * @returns {Promise<Reduced>}
     */
    reduce(source: Source, { signal }?: {
        signal?: AbortSignal | undefined;
    }): Promise<Reduced>;
    /**
     * What the network makes of a reduced film with parts covered; also where an image would be refused.
     * @param {Reduced} film
     * @param {Uint8Array<ArrayBuffer>} cover A byte for each of the 224 by 224 cells, row by row; what is not 0 is covered.
     * @param {{ signal?: AbortSignal | undefined }} [options]
     * @returns {Promise<Judged>}
     */
    judge({ plane }: Reduced, cover: Uint8Array<ArrayBuffer>, { signal }?: {
        signal?: AbortSignal | undefined;
    }): Promise<Judged>;
    /** Ends the worker and frees its memory; whatever is under way rejects with the code `closed`. */
    dispose(): void;
}
